//! What a fuzzer feeds: each function takes any bytes and panics if a promise is broken. The tests
//! (`tests/it/fuzz.rs`) run the same functions over `fuzz/seeds`, so that a plain `cargo test` keeps
//! what a fuzzer once found.

use std::collections::BTreeMap;

use sendtrail::domain::bounce_address::BounceTokens;
use sendtrail::domain::event::{Event, EventKey};
use sendtrail::domain::facts::Facts;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::time::Timestamp;
use sendtrail::feedback::bounce_mail::{self, Trust};
use sendtrail::feedback::sns::Envelope;
use sendtrail::feedback::twilio::{Form, Genuine, Verifier};
use sendtrail::feedback::{self, Parsed};
use sendtrail::store::feedback::Happening;
use sendtrail::template::{Source, Template, plain};
use serde_json::{Map, Value};

/// An event may be of a second that is not over; nothing that is read depends on the time of day.
const RECEIVED_AT: Timestamp = Timestamp::EPOCH;

/// Reading a text again gives the same, and what it says makes the same facts in any order.
fn hold(read: impl Fn() -> Parsed) {
    let parsed = read();
    assert_eq!(parsed, read(), "a text was read in two ways");
    let Parsed::Report { report, .. } = parsed else {
        return;
    };
    // Of two that tell of one happening the ledger takes one.
    let happenings = report.happenings.into_iter().map(|it| (it.key, it));
    let distinct: BTreeMap<EventKey, Happening> = happenings.collect();
    let events: Vec<Event> = distinct.into_values().map(event).collect();
    let facts = Facts::fold(&events);
    let mut turned = Facts::default();
    for event in events.iter().rev() {
        turned.apply(event);
    }
    assert_eq!(facts, turned, "the order made a difference");
}

fn event(happening: Happening) -> Event {
    Event {
        notification: NotificationId::floor(RECEIVED_AT),
        key: happening.key,
        occurred_at: happening.occurred_at,
        source: "fuzzer".to_owned(),
        what: happening.what,
    }
}

/// The body of a request to the webhook of SNS, and what it holds.
pub fn sns_envelope(data: &[u8]) {
    if let Ok(envelope) = Envelope::parse(data) {
        hold(|| feedback::parse(&envelope.message, RECEIVED_AT));
    }
}

/// What SES, SNS or End User Messaging report.
pub fn ses_event(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        hold(|| feedback::parse(text, RECEIVED_AT));
    }
}

/// The query of the address on the first line, then what is posted to it.
pub fn twilio_form(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (query, body) = text.split_once('\n').unwrap_or(("", text));
    let Ok(form) = Form::read(body) else {
        return;
    };
    let genuine = Genuine {
        form,
        query: query.to_owned(),
        body: body.to_owned(),
    };
    hold(|| genuine.said(&Verifier::default(), RECEIVED_AT));
    if let Parsed::Text(text) = genuine.said(&Verifier::default(), RECEIVED_AT) {
        assert!(text.from.as_str().starts_with('+'), "no number");
    }
}

/// The recipient of the envelope on the first line, then a mail.
pub fn bounce_mail(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (recipient, mail) = text.split_once('\n').unwrap_or(("", text));
    let trust = Trust {
        tokens: BounceTokens::new("a secret of the fuzzer"),
        // No fuzzer finds a signature; what is behind it is to be reached all the same.
        accept_unsigned: true,
    };
    hold(|| bounce_mail::parse(&trust, recipient, mail, RECEIVED_AT));
}

/// The data as a JSON object on the first line, then a template for the HTML.
pub fn template(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (data, html) = text.split_once('\n').unwrap_or(("{}", text));
    let data: Map<String, Value> = serde_json::from_str(data).unwrap_or_default();
    plain(html);
    let source = Source {
        method: Method::Email,
        type_name: None,
        subject: Some("{{ name }}".to_owned()),
        text: None,
        html: Some(html.to_owned()),
    };
    let Ok(template) = Template::compile(source) else {
        return;
    };
    let rendered = template.render(&data);
    assert_eq!(rendered, template.render(&data), "filled in two ways");
}
