//! What the demo shows beside its traffic: contacts that staff entered, a task, a text of a client, and a
//! second business.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tracing::warn;

use super::demo_traffic::Caller;
use super::say;
use crate::api::auth;
use crate::app::SAMPLE_PASSWORD;
use crate::clock::Clock;
use crate::domain::address::Address;
use crate::domain::event::EventKey;
use crate::domain::method::{Channel, Method};
use crate::domain::role::Role;
use crate::store::Store;
use crate::store::by_hand::Contact;
use crate::store::feedback::Incoming;
use crate::store::inbound::{Sharing, Text};
use crate::store::keys::NewApiKey;
use crate::store::staff::NewAccount;
use crate::store::tasks::FollowUp;
use crate::web::staff::Hasher;

const SECOND: &str = "lakeside";
const SECOND_EMAIL: &str = "admin@lakeside.example";
/// A task of the sample administrator that is due soon.
const DUE_IN: Duration = Duration::from_hours(4);

/// Meanwhile the demo is up; what fails is told and missed.
pub(super) async fn run(store: Store, address: SocketAddr) {
    let clock = Clock::system();
    let entered = entries(&store, &clock).await;
    let second = second(&store, address).await;
    if let Err(failed) = entered.and(second) {
        warn!(error = format!("{failed:#}"), "the demo lacks some samples");
    }
}

async fn entries(store: &Store, clock: &Clock) -> anyhow::Result<()> {
    let now = clock.now();
    let called = Contact {
        business: "default",
        client_id: "C-1001",
        date: None,
        method: Method::Phone,
        channel: Channel::Inbound,
        type_name: None,
        contact_type: "Message Center",
        staff_id: Some("S-4"),
        description: Some("Asked whether her membership can pause in August."),
        entered_by: Some("S-4"),
        key: None,
        follow_up: Some(FollowUp {
            title: "Call Ana back about August",
            description: None,
            due_at: now.plus(DUE_IN),
            assignee: "S-1",
        }),
    };
    store.enter_contact(&called).await?;
    let dropped_in = Contact {
        client_id: "C-1003",
        method: Method::InPerson,
        staff_id: None,
        description: Some("Left a form at the desk."),
        entered_by: None,
        follow_up: None,
        ..called
    };
    store.enter_contact(&dropped_in).await?;
    text(store, clock).await
}

/// As a provider tells it.
async fn text(store: &Store, clock: &Clock) -> anyhow::Result<()> {
    let now = clock.now();
    let from = Address::parse(Method::Sms, "+14155550102");
    let words = "Could I come at ten instead?";
    let text = Text {
        source: "twilio",
        provider_message_id: "SM-demo".to_owned(),
        key: EventKey(clock.new_uuid(now)),
        from: from.context("the number of a sample client")?,
        to: "+15005550006".to_owned(),
        sharing: Sharing::Shared,
        text: words.to_owned(),
        wish: None,
    };
    let message = Incoming {
        source: text.source,
        message_id: text.provider_message_id.clone(),
        topic: String::new(),
        received_at: now,
        kind: "demo".to_owned(),
        body: words.into(),
        report: None,
    };
    store.keep_text(message, &text).await?;
    Ok(())
}

/// With a member, a key, and a message of its own.
async fn second(store: &Store, address: SocketAddr) -> anyhow::Result<()> {
    store.ensure_business(SECOND, "Lakeside Yoga").await?;
    let (key, digest) = auth::new_key();
    let new = NewApiKey {
        business: SECOND,
        name: "demo",
        digest: &digest,
        scopes: "enqueue,read,admin",
        expires_at: None,
    };
    store.add_key(new).await?;
    let kept = Hasher::default().hash(SAMPLE_PASSWORD.to_owned()).await?;
    let new = NewAccount {
        business: SECOND,
        staff_id: Some("L-1"),
        name: "Rosa Weber",
        email: SECOND_EMAIL,
        role: Role::Admin,
        locations: &[],
        password: &kept,
    };
    store.add_staff(new).await?;
    say(format_args!(
        "A second business, which sees nothing of the first:

  Sign-in    {SECOND_EMAIL}, the same password
  API key    {key}
"
    ));
    let caller = Caller::new(address, key)?;
    let sent = json!({
        "client": {"id": "L-1001", "name": "Jonas Feld"}, "method": "email",
        "to": "opened@simulator.test", "type": "Class confirmation",
        "content": {"subject": "Yoga at the lake", "html": "<p>See you at the lake.</p>"},
    });
    caller.post("/v1/notifications", &sent).await?;
    Ok(())
}
