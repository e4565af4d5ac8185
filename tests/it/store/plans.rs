//! How SQLite finds the rows of every statement of the store: by an index, never by going through a
//! table that grows.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sendtrail::domain::alarm::Kind;
use sendtrail::domain::event::{Decision, Event, EventKey, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::{Attachment, Content};
use sendtrail::domain::method::Method;
use sendtrail::domain::status::Status;
use sendtrail::domain::suppression::Reason;
use sendtrail::domain::tracking::{self, Agent, OptIn};
use sendtrail::domain::webhook::{EndpointUrl, Secret, UrlRules};
use sendtrail::store::businesses::Change;
use sendtrail::store::clients::Changes;
use sendtrail::store::enqueue::ContentSource;
use sendtrail::store::history::{Filter, Order};
use sendtrail::store::inbound::{Sharing, Text, Wish};
use sendtrail::store::inbox::{Message, Reading, Wanted};
use sendtrail::store::retention::Retention;
use sendtrail::store::suppressions::{self, Lift};
use sendtrail::store::templates::StoredTemplate;
use sendtrail::store::tracking::Tracked;
use sendtrail::store::unmatched::Sweep;
use sendtrail::store::webhook_queue::{Round, WebhookEnd, WebhookOutcome};
use sendtrail::store::webhooks::NewEndpoint;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::make::{
    BUSINESS, LEASE, address, claimed, delivered, done, email, enqueued, happening, incoming,
    keyed, nothing_left, push, rescue, send_one, sent, sms, suppressed, tried, wanted,
};
use super::steps::goes_through_a_table;
use crate::support::db::{TestDb, on_sqlite};

/// Keeps the text of every statement that the store runs on this thread.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeSet<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Statements {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "text" {
            self.0.lock().unwrap().insert(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Runs every function of the store that touches tables that grow.
async fn everything(db: &TestDb) {
    let (store, now) = (&db.store, db.clock.now());
    let mut new = keyed(email("C-1"), "k", 1);
    new.staff_id = Some("S-1".to_owned());
    let ids = enqueued(
        store,
        vec![new.clone(), email("C-2"), email("C-2"), push("C-3")],
    )
    .await;
    new.client.name = Some("Ana".to_owned());
    enqueued(store, vec![new]).await;
    let early = incoming(
        "m1",
        None,
        Some("p-2"),
        vec![happening(1, now, delivered())],
    );
    store.keep_feedback(early).await.unwrap();
    let claim = claimed(store).await;
    let released = done(
        &claim,
        &claim.jobs[0],
        None,
        sendtrail::store::record::Then::Settled,
    );
    let mut left = nothing_left(&claim);
    left[0].rewrite = true;
    left[0].jobs = claim.jobs[1..].iter().map(|claimed| claimed.job).collect();
    store.record(&[released], &left).await.unwrap();
    store.beat(&[claim.id]).await.unwrap();
    db.pass(LEASE * 2);
    assert!(rescue(store, Duration::ZERO).await > 0);
    send_one(store, now, "p-1").await;
    let claim = claimed(store).await;
    let accepted = done(&claim, &claim.jobs[0], tried(now, "accepted"), sent("p-2"));
    store
        .record(&[accepted], &nothing_left(&claim))
        .await
        .unwrap();
    let both = incoming(
        "m2",
        Some(ids[0]),
        Some("p-1"),
        vec![happening(2, now, delivered())],
    );
    store.keep_feedback(both).await.unwrap();
    store.cancel(BUSINESS, ids[3]).await.unwrap();
    decisions(db, ids[0]).await;
    store.sweep_unmatched(&mut Sweep::default()).await.unwrap();
    store.count_unmatched(10).await.unwrap();
    operators(db, &ids).await;
    let keep = Retention {
        inbox: Some(LEASE),
        unmatched: Some(LEASE),
    };
    store.prune_feedback(keep).await.unwrap();
    store.depth(9).await.unwrap();
    store.claim(wanted(Method::Sms, 1)).await.unwrap();
    store.entries(BUSINESS, &ids).await.unwrap();
    store.story(ids[0]).await.unwrap();
    store.content(BUSINESS, ids[0]).await.unwrap();
    store.client_exists(BUSINESS, "C-1").await.unwrap();
    store.find_key("digest").await.unwrap();
    contents(db, ids[0]).await;
    texts(db).await;
    pages(db).await;
    suppressions(db, &ids).await;
    webhooks(db).await;
    super::of_people(db, ids[0]).await;
}

async fn operators(db: &TestDb, ids: &[NotificationId]) {
    let (after, below) = (ids[0], NotificationId::new(uuid::Uuid::max()));
    let span = sendtrail::store::verify::Span { after, below };
    db.store.verify(span, 10).await.unwrap();
    db.store.repair(ids).await.unwrap();
    inbox(db).await;
    alarms(db).await;
}

async fn inbox(db: &TestDb) {
    for result in [None, Some("unmatched")] {
        let mut wanted = Wanted {
            result,
            limit: 10,
            ..Wanted::default()
        };
        let found = db.store.whole_feedback_messages(&wanted).await.unwrap();
        if let (None, Some(first)) = (result, found.first()) {
            let reading = Reading {
                kind: "test".to_owned(),
                report: incoming("m", None, Some("p-2"), Vec::new()).report,
            };
            let again = [(first.clone(), reading)];
            db.store.reapply(&again).await.unwrap();
        }
        wanted.to = Some(db.clock.now());
        wanted.after = found.first().map(Message::position);
        db.store.feedback_messages(&wanted).await.unwrap();
    }
    db.store.feedback_message("sns", "m1").await.unwrap();
}

/// What operators look at. A report of failures may look through a business's latest entries.
async fn alarms(db: &TestDb) {
    let kind = Kind::SubscriptionMissing;
    db.store.raise(kind, "topic").await.unwrap();
    db.store.alarms().await.unwrap();
    db.store.count_held(10).await.unwrap();
    db.store.troubled_webhooks().await.unwrap();
    db.store.clear(kind, "topic").await.unwrap();
    let now = db.clock.now();
    let since = now.minus(LEASE * 10);
    let asked = sendtrail::store::failures::Asked::all(since, now);
    db.store.failures(BUSINESS, &asked).await.unwrap();
}

async fn webhooks(db: &TestDb) {
    let (store, id) = (&db.store, enqueued(&db.store, vec![email("C-1")]).await[0]);
    let url = EndpointUrl::parse("https://example.com/", UrlRules::default()).unwrap();
    let secret = Secret::new([1; 32]);
    let new = NewEndpoint {
        business: BUSINESS,
        url: &url,
        description: None,
        events: &[],
        secret: &secret,
    };
    let made = store.add_webhook(new).await.unwrap().unwrap();
    let event = happening(9, db.clock.now(), delivered());
    let message = incoming("m9", Some(id), None, vec![event]);
    store.keep_feedback(message).await.unwrap();
    let held = store.claim_webhooks("w", LEASE, 10).await.unwrap();
    let due = store.due_webhooks(&held[0], 10).await.unwrap();
    let taken = [WebhookOutcome {
        id: due[0].id,
        end: WebhookEnd::Taken,
    }];
    let round = Round {
        next_at: db.clock.now(),
        error: None,
        give_up_after: LEASE,
        gone: false,
    };
    let recorded = store.record_webhooks("w", made.id, &taken, &round);
    recorded.await.unwrap();
    let replayed = store.replay_webhook(BUSINESS, made.id, db.clock.now());
    assert_eq!(replayed.await.unwrap(), Some(1));
    store.prune_webhooks(LEASE).await.unwrap();
}

async fn decisions(db: &TestDb, id: NotificationId) {
    let (store, now) = (&db.store, db.clock.now());
    store.settle_held(None).await.unwrap();
    store.settle_held(Some(id)).await.unwrap();
    store.held(BUSINESS, Some(id), 10).await.unwrap();
    let unknown = enqueued(store, vec![email("C-1")]).await[0];
    let claim = claimed(store).await;
    let then = sendtrail::store::record::Then::Hold;
    let held = done(&claim, &claim.jobs[0], tried(now, "unknown"), then);
    store.record(&[held], &nothing_left(&claim)).await.unwrap();
    for _ in 0..2 {
        let decided = store.decide(BUSINESS, unknown, Decision::Resend, None);
        decided.await.unwrap();
    }
    reports(db, id).await;
}

async fn reports(db: &TestDb, id: NotificationId) {
    let event = Event {
        notification: id,
        key: EventKey(uuid::Uuid::from_u128(77)),
        occurred_at: db.clock.now(),
        source: "application".to_owned(),
        what: What::Clicked {
            link: None,
            user_agent: None,
        },
    };
    for _ in 0..2 {
        db.store.report(BUSINESS, &event).await.unwrap().unwrap();
    }
}

async fn suppressions(db: &TestDb, ids: &[NotificationId]) {
    let (store, now) = (&db.store, db.clock.now());
    let complaint = || What::Complained {
        feedback_type: None,
    };
    for (key, what) in [(3, complaint()), (4, What::ComplaintWithdrawn)] {
        let event = happening(key, now, what);
        let message = incoming(&format!("m{key}"), Some(ids[0]), None, vec![event]);
        store.keep_feedback(message).await.unwrap();
    }
    store.subscription(ids[0]).await.unwrap();
    store.opt_out(ids[0]).await.unwrap();
    store.opt_in(ids[0]).await.unwrap();
    let to = address(Method::Email, "ana@example.com");
    store
        .suppress(suppressed(&to, Reason::Staff))
        .await
        .unwrap();
    for reason in [None, Some(Reason::Staff)] {
        let lift = Lift {
            business: BUSINESS,
            address: &to,
            contact_type: None,
            reason,
            source: "staff",
            staff_id: None,
            note: None,
        };
        store.lift(lift).await.unwrap();
    }
    for lifted in [false, true] {
        for method in [None, Some(Method::Email)] {
            for addresses in [Vec::new(), vec![to.compared()]] {
                let mut filter = suppressions::Filter {
                    method,
                    addresses,
                    lifted,
                    after: None,
                    limit: 10,
                };
                store.suppressions(BUSINESS, &filter).await.unwrap();
                filter.after = Some(ids[0].uuid());
                store.suppressions(BUSINESS, &filter).await.unwrap();
            }
        }
    }
    store.client(BUSINESS, "C-1").await.unwrap();
    let changes = Changes::default();
    store.add_client(BUSINESS, "C-8", &changes).await.unwrap();
    store
        .change_client(BUSINESS, "C-1", &changes)
        .await
        .unwrap();
    store.secret("a", "b").await.unwrap();
}

pub(super) async fn visits(db: &TestDb, id: NotificationId) {
    let (store, now) = (&db.store, db.clock.now());
    let change = Change {
        tracking: vec![Tracked {
            contact_type: "Client Notifications".to_owned(),
            opt_in: OptIn {
                opens: true,
                clicks: true,
            },
        }],
        ..Change::default()
    };
    store.change_business(BUSINESS, &change).await.unwrap();
    store.business(BUSINESS).await.unwrap();
    store.is_tracking_wanted().await.unwrap();
    let visit = tracking::opened(id, now, Agent::default());
    store.keep_visits(&[visit]).await.unwrap();
}

/// Of clients, and those of ours that are asked for.
async fn texts(db: &TestDb) {
    let (store, now) = (&db.store, db.clock.now());
    let id = enqueued(store, vec![sms("C-7")]).await[0];
    let taken = What::Accepted {
        provider: "twilio".to_owned(),
        provider_message_id: Some("SM1".to_owned()),
        opens_tracked: false,
    };
    let accepted = incoming("t1", Some(id), None, vec![happening(70, now, taken)]);
    store.keep_feedback(accepted).await.unwrap();
    for wish in [Wish::Stop, Wish::Start] {
        for (number, from) in ["+14155550123", "+14155550124"].into_iter().enumerate() {
            let name = format!("{wish:?} {number}");
            let mut message = incoming(&name, None, None, Vec::new());
            message.report = None;
            let text = Text {
                source: "twilio",
                provider_message_id: name,
                key: EventKey(uuid::Uuid::from_u128(71 + u128::from(wish == Wish::Stop))),
                from: address(Method::Sms, from),
                to: "+15005550001".to_owned(),
                sharing: Sharing::Shared,
                text: "x".to_owned(),
                wish: Some(wish),
            };
            store.keep_text(message, &text).await.unwrap();
        }
    }
    for limit in [1, 10] {
        let claimed = store.claim_receipts(Duration::ZERO, limit).await;
        claimed.unwrap();
        db.pass(Duration::from_hours(12));
    }
    db.pass(Duration::from_hours(48));
    store.claim_receipts(Duration::ZERO, 1).await.unwrap();
}

async fn contents(db: &TestDb, id: NotificationId) {
    let store = &db.store;
    let version = uuid::Uuid::from_u128(1);
    let template = StoredTemplate {
        name: "t".to_owned(),
        version,
        method: Method::Sms,
        type_name: None,
        subject: None,
        text: Some("x".to_owned()),
        html: None,
    };
    store.put_template(BUSINESS, &template).await.unwrap();
    let names = ["t".to_owned()];
    store.current_templates(BUSINESS, &names).await.unwrap();
    for version in [None, Some(version)] {
        store.template(BUSINESS, "t", version).await.unwrap();
        let versions = store.template_versions(BUSINESS, "t", version, 10).await;
        versions.unwrap();
    }
    store.templates(BUSINESS, Some("a"), 10).await.unwrap();
    let file = Attachment {
        name: "a.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        content_id: None,
        size: 1,
        sha256: "digest".to_owned(),
    };
    let mut new = keyed(email("C-1"), "f", 1);
    if let ContentSource::New(Content::Email { attachments, .. }) = &mut new.content {
        attachments.push(file.clone());
    }
    new.files.push(bytes::Bytes::from_static(b"x"));
    enqueued(store, vec![new.clone()]).await;
    store.files(id, &[file]).await.unwrap();
    let asked = new.idempotency.unwrap();
    store.enqueued_before(BUSINESS, &[&asked]).await.unwrap();
}

async fn pages(db: &TestDb) {
    for client_id in [None, Some("C-1".to_owned())] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let mut filter = Filter {
                client_id: client_id.clone(),
                order,
                limit: 10,
                ..Filter::default()
            };
            db.store.history(BUSINESS, &filter).await.unwrap();
            filter.from = Some(db.clock.now());
            filter.to = Some(db.clock.now());
            filter.statuses = vec![Status::Bounced];
            filter.search = Some("ana".to_owned());
            filter.after = Some(NotificationId::floor(db.clock.now()));
            db.store.history(BUSINESS, &filter).await.unwrap();
        }
    }
}

#[tokio::test]
async fn sqlite_seeks_every_row_in_tables_that_grow() {
    on_sqlite(async |db: &TestDb| {
        let statements = Statements::default();
        let subscriber = tracing_subscriber::registry().with(statements.clone());
        let listening = tracing::subscriber::set_default(subscriber);
        // Another test, of another thread, may just be deciding that nobody listens.
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while statements.0.lock().unwrap().is_empty() {
            assert!(std::time::Instant::now() < until, "no statement is heard");
            tracing::callsite::rebuild_interest_cache();
            db.store.ready().await.unwrap();
        }
        // Group commits are heard by whoever listens when their store is opened.
        let heard = TestDb::open(db.url.clone()).await;
        everything(&heard).await;
        heard.close().await;
        drop(listening);
        let statements = statements.0.lock().unwrap().clone();
        assert!(
            statements.len() > 40,
            "only {} statements",
            statements.len()
        );
        for of_group_commits in ["INSERT INTO jobs", "INSERT INTO feedback_inbox"] {
            let mut statements = statements.iter();
            assert!(
                statements.any(|text| text.starts_with(of_group_commits)),
                "{of_group_commits}: not heard"
            );
        }
        let mut scans = Vec::new();
        for statement in statements {
            let plan = db.rows(&format!("EXPLAIN QUERY PLAN {statement}")).await;
            let steps = plan
                .into_iter()
                .filter_map(|row| row.into_iter().nth(3).flatten());
            let bad = steps.filter(|step| goes_through_a_table(step, &statement));
            scans.extend(bad.map(|step| format!("{step}: {statement}")));
        }
        assert!(scans.is_empty(), "{}", scans.join("\n"));
    })
    .await;
}
