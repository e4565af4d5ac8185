//! What a fuzzer feeds: each function takes any bytes and panics if a promise is broken. The tests
//! (`tests/it/fuzz.rs`) run the same functions over `fuzz/seeds`, so that a plain `cargo test` keeps
//! what a fuzzer once found.

use sendtrail::domain::bounce_address::BounceTokens;
use sendtrail::domain::method::Method;
use sendtrail::domain::time::Timestamp;
use sendtrail::feedback::bounce_mail::{self, Trust};
use sendtrail::feedback::sns::Envelope;
use sendtrail::feedback::twilio::{Form, Genuine, Said, Verifier};
use sendtrail::feedback::{self, Parsed, twilio};
use sendtrail::template::{Source, Template, plain};
use serde_json::{Map, Value};

/// An event may be of a second that is not over; nothing that is read depends on the time of day.
const RECEIVED_AT: Timestamp = Timestamp::EPOCH;

/// A text may say a thing once: the keys of its happenings differ, and reading it again gives the
/// same.
fn hold(read: impl Fn() -> Parsed) {
    let parsed = read();
    assert_eq!(parsed, read(), "a text was read in two ways");
    if let Parsed::Report { report, .. } = parsed {
        let mut keys: Vec<_> = report.happenings.iter().map(|it| it.key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "one happening was read twice");
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
    match genuine.said(&Verifier::default(), RECEIVED_AT) {
        Said::Report(_) => hold(|| twilio::parse(query, body, RECEIVED_AT)),
        Said::Text(text) => assert!(text.from.as_str().starts_with('+'), "no number"),
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
