//! Bodies on which HTTP and SQL must agree, as they are written.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

use super::mails;
use crate::api::validation::{good_bodies, wrong_bodies};
use crate::support::api::{email, push, sms};

/// Bodies of the API's own tests, and those that two languages read differently.
pub(super) fn chosen() -> Vec<String> {
    let wrong = wrong_bodies().into_iter().map(|(body, _, _)| body);
    let changed = wrong
        .chain(good_bodies())
        .chain(texts())
        .chain(times())
        .chain(addresses())
        .chain(data())
        .chain(mails::mailboxes())
        .chain(mails::files())
        .chain(requests())
        .chain(lanes());
    let texts = changed.map(|body| body.to_string());
    texts.chain(written()).collect()
}

/// Every character that one language may take for white space or for a control and the other not.
fn texts() -> Vec<Json> {
    let odd = (1..=0x20)
        .chain(0x7f..=0xa1)
        .chain([0xad, 0x1680, 0x180e])
        .chain(0x2000..=0x2010)
        .chain([
            0x2028, 0x2029, 0x202f, 0x205f, 0x2060, 0x3000, 0xfeff, 0x1_f4a5,
        ]);
    let mut bodies = Vec::new();
    for c in odd.filter_map(char::from_u32) {
        bodies.push(email(json!({
            "type": format!("{c}a{c}"), "contact_type": format!("a{c}b"),
            "client": {"id": format!("a{c}b"), "name": c},
            "content": {"subject": format!("{c}x"), "text": c, "html": format!("{c}x{c}")},
        })));
        bodies.push(email(json!({
            "staff_id": format!("a{c}"), "idempotency_key": c, "priority": c, "metadata": {c: c},
            "to": format!("{c}ana@example.com{c}"), "method": format!("email{c}"),
        })));
        bodies.push(sms(
            json!({"to": format!("{c}+14155550123"), "content": {"text": c}}),
        ));
        bodies.push(push(
            json!({"to": format!("to{c}ken"), "content": {"title": c, "text": "x"}}),
        ));
    }
    bodies
}

/// Marketing goes into the bulk lane unless its priority says otherwise.
fn lanes() -> Vec<Json> {
    let marketing = "Automated Marketing";
    vec![
        email(json!({"contact_type": marketing})),
        email(json!({"contact_type": marketing, "idempotency_key": "lane"})),
        email(json!({"contact_type": marketing, "priority": "normal"})),
        email(json!({"contact_type": "automated marketing"})),
    ]
}

fn times() -> Vec<Json> {
    let texts = [
        "2100-01-01T00:00:00Z",
        "2100-01-01t00:00:00z",
        "2100-01-01 00:00:00Z",
        " 2100-01-01T00:00:00Z\n",
        "2100-01-01T00:00:00.9999Z",
        "2100-01-01T00:00:00.000999999Z",
        "2100-01-01T00:00:00.1234567890Z",
        "2100-01-01T00:00:00.Z",
        "2100-01-01T00:00:00,5Z",
        "2100-01-01T00:00Z",
        "2100-01-01T00Z",
        "2100-01-01",
        "2100-01-01T00:00:00",
        "2100-01-01T00:00:00+01",
        "2100-01-01T00:00:00+0100",
        "2100-01-01T00:00:00+01:00",
        "2100-01-01T00:00:00-00:00",
        "2100-01-01T00:00:00+15:59",
        "2100-01-01T00:00:00-23:59",
        "2100-01-01T00:00:00+24:00",
        "2100-01-01T00:00:00+01:60",
        "2100-01-01T24:00:00Z",
        "2100-01-01T23:60:00Z",
        "2100-06-30T23:59:60Z",
        "2100-06-30T23:59:61Z",
        "2100-02-28T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2104-02-29T00:00:00Z",
        "2100-04-31T00:00:00Z",
        "2100-00-01T00:00:00Z",
        "2100-13-01T00:00:00Z",
        "2100-01-00T00:00:00Z",
        "0000-02-29T00:00:00Z",
        "0000-12-31T23:59:59-23:00",
        "0001-01-01T00:00:00+01:00",
        "1969-12-31T23:59:59.999Z",
        "9999-12-30T22:00:00.999Z",
        "9999-12-30T22:00:01Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "+2100-01-01T00:00:00Z",
        "-2100-01-01T00:00:00Z",
        "21000101T000000Z",
        "2100-W01-1T00:00:00Z",
        "2100-01-01T00:00:00Z[UTC]",
        "now",
        "infinity",
        "２１００-01-01T00:00:00Z",
    ];
    let mut bodies = Vec::new();
    for text in texts {
        bodies.push(email(json!({"send_at": text})));
        bodies.push(email(json!({"expires_at": text})));
        bodies.push(sms(
            json!({"send_at": text, "expires_at": "2100-01-01T00:00:00.001Z"}),
        ));
    }
    bodies
}

fn emails() -> Vec<String> {
    let label = |n: usize| "d".repeat(n);
    vec![
        "ana@example.com".to_owned(),
        "ana+tag@sub.example.co.uk".to_owned(),
        "!#$%&'*+-/=?^_`{|}~@example.com".to_owned(),
        "josé@exämple.com".to_owned(),
        "用户@例子.广告".to_owned(),
        "a-.b@example.com".to_owned(),
        ".a@example.com".to_owned(),
        "a.@example.com".to_owned(),
        "a..b@example.com".to_owned(),
        "@example.com".to_owned(),
        "ana@".to_owned(),
        "ana".to_owned(),
        "ana@example".to_owned(),
        "ana@.example.com".to_owned(),
        "ana@example.com.".to_owned(),
        "ana@example..com".to_owned(),
        "ana@-example.com".to_owned(),
        "ana@example-.com".to_owned(),
        "ana@exa--mple.com".to_owned(),
        "ana@exa_mple.com".to_owned(),
        "ana@exa!mple.com".to_owned(),
        "ana@[127.0.0.1]".to_owned(),
        "ana@127.0.0.1".to_owned(),
        "\"ana\"@example.com".to_owned(),
        "a@b@example.com".to_owned(),
        "ana@b@example.com".to_owned(),
        "Ana <ana@example.com>".to_owned(),
        "a(b)@example.com".to_owned(),
        "a\\b@example.com".to_owned(),
        "ana@exam\u{200b}ple.com".to_owned(),
        "ana@exam\u{ad}ple.com".to_owned(),
        "ana@exam\u{2014}ple.com".to_owned(),
        "ana@exam\u{ff0e}com".to_owned(),
        "an\u{a0}a@example.com".to_owned(),
        "💥@example.com".to_owned(),
        format!("{}@example.com", label(64)),
        format!("{}@example.com", label(65)),
        format!("{}@example.com", "é".repeat(32)),
        format!("{}@example.com", "é".repeat(33)),
        format!("ana@{}.com", label(63)),
        format!("ana@{}.com", label(64)),
        format!("ana@{}.com", "é".repeat(32)),
        format!("a@{0}.{0}.{0}.{1}.com", label(62), label(57)),
        format!("a@{0}.{0}.{0}.{1}.com", label(62), label(60)),
    ]
}

const PHONES: &[&str] = &[
    "+14155550123",
    "+1 (415) 555-0123",
    "+1.415.555.0123",
    "+1415555",
    "+141555",
    "+1415555012345",
    "+1415555012345678",
    "+0415555012",
    "14155550123",
    "++14155550123",
    "+1415555x123",
    "+1\t4155550123",
    "+１4155550123",
    "(+1)4155550123",
    " ",
];

/// Of every kind of provider, and what nearly is.
fn targets() -> Vec<String> {
    let hex = |n: usize| "aF09".repeat(n);
    vec![
        "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/1".to_owned(),
        "ARN:x".to_owned(),
        "aRn:".to_owned(),
        " arn:x ".to_owned(),
        "arn".to_owned(),
        "xarn:".to_owned(),
        hex(16),
        format!("\t{}", hex(16)),
        hex(20),
        format!("{}-down", hex(16)),
        format!("{}.", hex(15)),
        format!("{}abc", hex(15)),
        format!("{}abcg", hex(15)),
        format!("d:{}", hex(16)),
        "dGVzdA:APA91bHPRgkFLJ0xyz_-".to_owned(),
    ]
}

fn addresses() -> Vec<Json> {
    let mut bodies: Vec<Json> = emails()
        .iter()
        .flat_map(|text| {
            let client = json!({"id": "N", "email": text});
            [email(json!({"to": text})), sms(json!({"client": client}))]
        })
        .collect();
    bodies.extend(PHONES.iter().flat_map(|text| {
        let client = json!({"id": "N", "phone": text});
        [sms(json!({"to": text})), email(json!({"client": client}))]
    }));
    bodies.extend(targets().iter().flat_map(|text| {
        let bulk = json!({"to": text, "priority": "bulk"});
        [
            push(json!({"to": text})),
            push(bulk),
            email(json!({"to": text})),
        ]
    }));
    bodies.push(push(json!({"to": "~".repeat(4_096)})));
    bodies.push(push(json!({"to": "~".repeat(4_097)})));
    bodies
}

/// JSON of the caller's own, near its limits.
fn data() -> Vec<Json> {
    let mut bodies = Vec::new();
    // `{"a":"…"}` has 8 bytes beside the text.
    for n in [16_376, 16_377] {
        bodies.push(email(json!({"metadata": {"a": "x".repeat(n)}})));
        bodies.push(email(json!({"metadata": {"a": "é".repeat(n / 2)}})));
    }
    let list: Vec<u32> = vec![1; 8_187];
    for count in [8_186, 8_187, 8_188, 8_190] {
        let ones = vec![1_u32; count];
        bodies.push(email(json!({"metadata": {"a": ones}})));
    }
    bodies.push(email(
        json!({"metadata": {"a": list, "b": "\"\\\u{1}\u{7f}\n"}}),
    ));
    for n in [1_000, 4_000, 4_060, 4_070, 4_080, 4_090, 4_100] {
        bodies.push(push(
            json!({"content": {"text": "x", "data": {"a": "x".repeat(n)}}}),
        ));
        let title = "t".repeat(250);
        let content =
            json!({"title": title, "text": "é".repeat(900), "data": {"a": "y".repeat(n / 2)}});
        bodies.push(push(json!({"content": content})));
    }
    bodies
}

fn requests() -> Vec<Json> {
    let good = sms(json!({}));
    let mut many = email(json!({}));
    for i in 0..1_200 {
        many[format!("{i:04}")] = json!(1);
    }
    vec![
        json!(null),
        json!([]),
        json!("x"),
        json!(7),
        json!({}),
        json!({"notifications": null}),
        json!({"notifications": {}}),
        json!({"notifications": []}),
        json!({"notifications": [], "method": "sms"}),
        json!({"notifications": {}, "a~b/c": 1}),
        json!({"notifications": [null, 1, [], {}, good]}),
        json!({"notifications": [good, email(json!({"to": "x"})), push(json!({"content": {}}))]}),
        json!({"notifications": vec![good.clone(); 1_000]}),
        json!({"notifications": vec![good.clone(); 1_001]}),
        json!({"notifications": [good, email(json!({"client": "stranger", "to": null})),
                                 push(json!({"to": null}))]}),
        json!({"client": "x", "method": "fax", "to": 1, "content": [], "template": 1}),
        json!({"client": {"id": "x"}, "method": null, "to": "", "content": {"x": 1}, "type": null}),
        email(json!({"x".repeat(150): 1, "~/": {}, "é": null})),
        many,
        // An address given later in the request is not on the card yet.
        json!({"notifications": [
            {"client": "late", "method": "sms", "type": "T", "content": {"text": "x"}},
            {"client": {"id": "late", "phone": "+14155550123"}, "method": "sms", "type": "T",
             "content": {"text": "x"}},
        ]}),
        json!({"notifications": [
            {"client": {"id": "soon", "phone": "+1 415 555 0123"}, "method": "email", "to": "a@example.com",
             "type": "T", "content": {"subject": "x", "text": "x"}},
            {"client": "soon", "method": "sms", "type": "T", "content": {"text": "x"}},
            {"client": {"id": "soon", "name": "S", "phone": "+14155550199"}, "method": "sms",
             "type": "T", "content": {"text": "x"}},
        ]}),
    ]
}

/// What `serde_json` would not write.
fn written() -> Vec<String> {
    let with = |field: &str| {
        format!(
            r#"{{"client": "C", "method": "sms", "to": "+14155550123", "type": "T",
                "content": {{"text": "x"}}, {field}}}"#
        )
    };
    let fields = [
        r#""metadata": {"a": [1e2, 100, 100.0, 1.00, -0, -0.0, 0.1, 1E-7, 5e-324, 1e-999]}"#,
        r#""metadata": {"a": [1.7976931348623157e308, -1.7976931348623157e308, 1.2345678901234567e22]}"#,
        r#""metadata": {"a": [9007199254740993, 18446744073709551616, 0.30000000000000004, 2.5e-8]}"#,
        r#""metadata": {"a": 1e400}"#,
        r#""metadata": {"a": -1e309}"#,
        r#""metadata": {"b": 1, "aa": 2, "é": 3, "Z": {"zz": 1, "y": null}, "": true}"#,
        r#""metadata": {"a": "\ud83d\ude00 \u00e9 \/ \b\f\n\r\t\u001f\u007f\u2028"}"#,
        r#""metadata": {"a": "\ud800"}"#,
        r#""metadata": {"a": "\u0000"}"#,
    ];
    let mut texts: Vec<String> = fields.iter().map(|field| with(field)).collect();
    texts.push("{".to_owned());
    texts.push(String::new());
    texts.push("  [1, 2".to_owned());
    texts
}

/// Bodies with a few fields changed at random.
pub(super) fn random(seed: u64, count: usize) -> Vec<String> {
    let mut chance = StdRng::seed_from_u64(seed);
    (0..count).map(|_| one(&mut chance).to_string()).collect()
}

const FIELDS: &[&str] = &[
    "/client",
    "/client/id",
    "/client/name",
    "/client/email",
    "/client/phone",
    "/method",
    "/to",
    "/type",
    "/contact_type",
    "/content",
    "/content/subject",
    "/content/title",
    "/content/text",
    "/content/html",
    "/content/data",
    "/content/reply_to",
    "/content/attachments",
    "/template",
    "/staff_id",
    "/send_at",
    "/expires_at",
    "/priority",
    "/idempotency_key",
    "/metadata",
    "/other",
];

fn one(chance: &mut StdRng) -> Json {
    let good: [fn(Json) -> Json; 3] = [email, sms, push];
    let mut body = good.choose(chance).unwrap()(json!({}));
    for _ in 0..chance.random_range(1..5) {
        let field = FIELDS.choose(chance).unwrap();
        let value = value(chance);
        let (object, name) = field.rsplit_once('/').unwrap();
        if let Some(Json::Object(object)) = body.pointer_mut(object) {
            object.insert(name.to_owned(), value);
        }
    }
    body
}

fn value(chance: &mut StdRng) -> Json {
    const WORDS: &[&str] = &[
        "",
        " ",
        "x",
        " x ",
        "email",
        "sms",
        "push",
        "high",
        "bulk",
        "Normal",
        "C-1",
        "a\nb",
        "a\u{85}b",
        "é",
        "ana@example.com",
        "ANA@Example.com ",
        "ana@",
        "+14155550123",
        "+1 415",
        "token",
        "2100-01-01T00:00:00Z",
        "2000-01-01T00:00:00Z",
        "2100-01-01",
        "a b",
        "\u{3000}",
    ];
    match chance.random_range(0..10) {
        0 => Json::Null,
        1 => json!(chance.random_range(-5..5)),
        2 => json!([]),
        3 => json!({}),
        4 => json!({"id": "C-2", "text": "x", "subject": "y", "a": 1.5}),
        5 => {
            let lengths = [
                64, 200, 201, 255, 256, 998, 999, 1_600, 1_601, 2_048, 2_049, 5_000,
            ];
            let c = ["x", "é", "💥"].choose(chance).unwrap();
            json!(c.repeat(*lengths.choose(chance).unwrap()))
        }
        _ => json!(WORDS.choose(chance).unwrap()),
    }
}
