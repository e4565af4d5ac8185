//! What an email may have beside its texts, on which HTTP and SQL must agree.

use serde_json::{Value as Json, json};

use crate::support::api::{email, push, sms};

/// Where answers go.
pub(super) fn mailboxes() -> Vec<Json> {
    let texts = [
        "box@example.com",
        " <box@example.com> ",
        "box@localhost",
        "Praxis Dr. Müller <info@müller.example>",
        "\"Smith, John\" <john@example.com>",
        r#""a \"b\" \\ <c>" <d@example.com>"#,
        "\"\" <d@example.com>",
        "\" \" <d@example.com>",
        "\" x \" <d@example.com>",
        r#""a\x" <d@example.com>"#,
        r#""a\" <d@example.com>"#,
        "A  B <a@example.com>",
        "A<a@example.com>",
        "\u{3000}A\u{3000}<\u{3000}a@example.com\u{3000}>\u{3000}",
        "",
        "nobody",
        "<>",
        "Ana <>",
        "Ana <ana@example.com",
        "ana@example.com>",
        "a@example.com, b@example.com",
        "Ana [x] <ana@example.com>",
        "<a> <a@example.com>",
        "\"Ana <ana@example.com>",
        "\"Ana\" x\" <ana@example.com>",
        "Ana\r\nBcc: b@example.com <ana@example.com>",
        "ana@example.com\n",
        "müller@example.com",
        "Ana 💥 <ana@example.com>",
        "ana@example.com <ana@example.com>",
    ];
    let content =
        |reply_to: Json| json!({"content": {"subject": "x", "text": "x", "reply_to": reply_to}});
    let mut bodies: Vec<Json> = texts
        .iter()
        .map(|text| email(content(json!(text))))
        .collect();
    for length in [200, 201] {
        let name = "é".repeat(length);
        bodies.push(email(content(json!(format!("{name} <a@example.com>")))));
    }
    bodies.push(email(content(json!(1))));
    bodies.push(email(content(Json::Null)));
    bodies.push(sms(
        json!({"content": {"text": "x", "reply_to": "a@example.com", "attachments": []}}),
    ));
    bodies.push(push(json!({"content": {"text": "x", "reply_to": null}})));
    bodies
}

/// A good attachment, `Hello` in base64, with these fields changed.
fn file(changes: &Json) -> Json {
    let mut file = json!({"name": "a.txt", "content_type": "text/plain", "data": "SGVsbG8="});
    for (name, value) in changes.as_object().unwrap() {
        file[name] = value.clone();
    }
    file
}

/// Changes to a good attachment.
fn changes() -> Vec<Json> {
    vec![
        json!({}),
        json!({"colour": 1}),
        json!({"name": "ünïcode 💥.pdf "}),
        json!({"name": "a/b"}),
        json!({"name": "a\\b"}),
        json!({"name": ".."}),
        json!({"name": ".x."}),
        json!({"name": "a\u{202e}fdp.exe"}),
        json!({"name": "a\nb"}),
        json!({"name": "n".repeat(201)}),
        json!({"content_type": "text/calendar; method=REQUEST;x=y"}),
        json!({"content_type": "TEXT/PLAIN ; charset=utf-8 "}),
        json!({"content_type": "text/plain;"}),
        json!({"content_type": "text/plain; charset"}),
        json!({"content_type": "text/plain; charset=\"utf-8\""}),
        json!({"content_type": "text"}),
        json!({"content_type": "text/plain/x"}),
        json!({"content_type": "te xt/plain"}),
        json!({"content_type": "!#$%&'*+-.^_`{|}~/a0Z"}),
        json!({"content_type": "Multipart/mixed"}),
        json!({"content_type": "message/rfc822"}),
        json!({"content_type": "messages/x"}),
        json!({"content_id": "logo@x.y_z-1+2"}),
        json!({"content_id": "lo go"}),
        json!({"content_id": "logo!"}),
        json!({"content_id": "c".repeat(101)}),
        json!({"content_id": null}),
        json!({"data": ""}),
        json!({"data": 1}),
        json!({"data": "SGVsbG8"}),
        json!({"data": "SGVsbG9="}),
        json!({"data": "SGVsbG8=\n"}),
        json!({"data": "SGVs bG8="}),
        json!({"data": "SGVsbG8-"}),
        json!({"data": "QQ=="}),
        json!({"data": "QR=="}),
        json!({"data": "===="}),
        json!({"data": "A".repeat(6_666_664)}),
        json!({"data": "A".repeat(6_666_668)}),
        json!({"data": "A".repeat(7_000_000)}),
    ]
}

/// Lists of attachments.
pub(super) fn files() -> Vec<Json> {
    let mut lists = vec![
        json!([]),
        json!({}),
        json!("x"),
        json!([1, null, {}]),
        Json::Null,
    ];
    lists.push(json!(vec![file(&json!({})); 10]));
    lists.push(json!(vec![file(&json!({})); 11]));
    lists.extend(changes().into_iter().map(|changes| json!([file(&changes)])));
    let twice = file(&json!({"content_id": "logo"}));
    lists.push(json!([
        twice,
        file(&json!({"name": "b.txt", "data": "QUJD"})),
        twice
    ]));
    let large = file(&json!({"data": "A".repeat(5_000_000)}));
    lists.push(json!([large, large]));
    let mut bodies = Vec::new();
    for list in lists {
        let content = json!({"subject": "x", "html": "x", "attachments": list});
        bodies.push(email(json!({"content": content})));
    }
    // An image within needs a text that shows it.
    let content = json!({"subject": "x", "text": "x", "attachments": [twice]});
    bodies.push(email(json!({"content": content})));
    let content = json!({"subject": "x", "html": 1, "attachments": [twice]});
    bodies.push(email(json!({"content": content})));
    bodies
}
