//! Every rule for the fields of a notification: the pointer and the words of its error.

use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, email, push, sms};

/// Changes to a good email, and the pointer and some words of the only error.
type Cases = Vec<(Json, &'static str, &'static str)>;

fn long(length: usize) -> String {
    "x".repeat(length)
}

fn cases_of_the_client_and_the_address() -> Cases {
    vec![
        (json!({"client": null}), "/client", "required"),
        (json!({"client": 7}), "/client", "object"),
        (json!({"client": ""}), "/client", "empty"),
        (json!({"client": " C"}), "/client", "white space"),
        (json!({"client": "a\u{0}b"}), "/client", "control"),
        (json!({"client": long(256)}), "/client", "at most 255"),
        (json!({"client": {"name": "Ana"}}), "/client/id", "required"),
        (json!({"client": {"id": 7}}), "/client/id", "string"),
        (
            json!({"client": {"id": "C", "age": 7}}),
            "/client/age",
            "id, name, email, phone",
        ),
        (
            json!({"client": {"id": "C", "name": "a\nb"}}),
            "/client/name",
            "one line",
        ),
        (
            json!({"client": {"id": "C", "name": long(201)}}),
            "/client/name",
            "at most 200",
        ),
        (
            json!({"client": {"id": "C", "email": "ana"}}),
            "/client/email",
            "email address",
        ),
        (
            json!({"client": {"id": "C", "phone": "415"}}),
            "/client/phone",
            "international",
        ),
        (
            json!({"client": {"id": "C", "phone": 415}}),
            "/client/phone",
            "string",
        ),
        (json!({"method": null}), "/method", "required"),
        (json!({"method": "fax"}), "/method", "email, sms, push"),
        (
            json!({"method": "in_person"}),
            "/method",
            "email, sms, push",
        ),
        (json!({"method": ["email"]}), "/method", "email, sms, push"),
        (json!({"to": "ana@"}), "/to", "email address"),
        (
            json!({"to": "a@example.com\r\nBcc: b@example.com"}),
            "/to",
            "email address",
        ),
        (json!({"to": ""}), "/to", "email address"),
        (json!({"to": {"email": "x"}}), "/to", "string"),
    ]
}

fn cases_of_the_content() -> Cases {
    let content = |subject: &str| json!({"content": {"subject": subject, "text": "x"}});
    vec![
        (json!({"type": null}), "/type", "required"),
        (json!({"type": "  "}), "/type", "empty"),
        (json!({"type": "a\r\nBcc: x"}), "/type", "one line"),
        (json!({"type": long(201)}), "/type", "at most 200"),
        (
            json!({"contact_type": "a\u{85}b"}),
            "/contact_type",
            "one line",
        ),
        (json!({"contact_type": 1}), "/contact_type", "string"),
        (json!({"content": null}), "/content", "required"),
        (json!({"content": "Hello"}), "/content", "object"),
        (
            json!({"content": {"text": "x"}}),
            "/content/subject",
            "required",
        ),
        (
            json!({"content": {"subject": "x"}}),
            "/content",
            "`text` or `html`",
        ),
        (
            json!({"content": {"subject": "x", "text": ""}}),
            "/content/text",
            "empty",
        ),
        (
            json!({"content": {"subject": "x", "html": "a\u{0}"}}),
            "/content/html",
            "NUL",
        ),
        (
            json!({"content": {"subject": "x", "text": "x", "title": "x"}}),
            "/content/title",
            "known",
        ),
        (
            content("a\r\nBcc: evil@example.com"),
            "/content/subject",
            "one line",
        ),
        (content("a\u{0}"), "/content/subject", "one line"),
        (content(&long(999)), "/content/subject", "at most 998"),
        (
            json!({"template": {"name": "x"}}),
            "/template",
            "one of them",
        ),
        (
            json!({"content": {"subject": "x", "text": "x", "reply_to": "nobody"}}),
            "/content/reply_to",
            "not a mailbox",
        ),
        (
            json!({"content": {"subject": "x", "text": "x", "reply_to": "a@b.c\r\nBcc: d@e.f"}}),
            "/content/reply_to",
            "not a mailbox",
        ),
        (
            json!({"content": {"subject": "x", "text": "x", "attachments": {}}}),
            "/content/attachments",
            "list",
        ),
    ]
}

fn cases_of_all_else() -> Cases {
    let mut many = json!({});
    for i in 0..65 {
        many[i.to_string()] = json!(i);
    }
    vec![
        (json!({"staff_id": ""}), "/staff_id", "empty"),
        (json!({"staff_id": "S\n7"}), "/staff_id", "control"),
        (json!({"send_at": "tomorrow"}), "/send_at", "RFC 3339"),
        (json!({"send_at": 1_800_000_000}), "/send_at", "string"),
        (
            json!({"expires_at": "2027-01-01T09:00:00Z"}),
            "/expires_at",
            "future",
        ),
        (
            json!({"send_at": "2027-01-02T09:00:00Z", "expires_at": "2027-01-02T10:00:00+01:00"}),
            "/expires_at",
            "after send_at",
        ),
        (
            json!({"priority": "urgent"}),
            "/priority",
            "high, normal, bulk",
        ),
        (json!({"idempotency_key": ""}), "/idempotency_key", "empty"),
        (
            json!({"idempotency_key": "a b"}),
            "/idempotency_key",
            "visible",
        ),
        (
            json!({"idempotency_key": "é"}),
            "/idempotency_key",
            "visible",
        ),
        (
            json!({"idempotency_key": long(256)}),
            "/idempotency_key",
            "at most 255",
        ),
        (json!({"metadata": []}), "/metadata", "object"),
        (json!({"metadata": many}), "/metadata", "at most 64"),
        (
            json!({"metadata": {"a": nested(100)}}),
            "/metadata",
            "100 levels",
        ),
        (
            json!({"send_at": "2027-01-01T09:00Z"}),
            "/send_at",
            "RFC 3339",
        ),
        (
            json!({"metadata": {"a": long(17_000)}}),
            "/metadata",
            "at most 16384",
        ),
        (
            json!({"metadata": {"a": [{"b": "\u{0}"}]}}),
            "/metadata",
            "NUL",
        ),
        (json!({"metadata": {"a\u{0}": 1}}), "/metadata", "NUL"),
        (json!({"colour": "red"}), "/colour", "not known"),
        (json!({"a/b~c": 1}), "/a~1b~0c", "not known"),
        (json!({"Method": "email"}), "/Method", "not known"),
    ]
}

async fn refuses(api: &TestApi, body: &Json, pointer: &str, words: &str) {
    let answer = api.post("/v1/notifications", body).await;
    assert_eq!(answer.status, 422, "{pointer} {words}: {}", answer.text);
    let errors = answer.errors();
    assert_eq!(errors.len(), 1, "{pointer} {words}: {errors:?}");
    assert_eq!(errors[0].0, pointer, "{errors:?}");
    assert!(errors[0].1.contains(words), "{errors:?}");
}

fn cases_of_sms() -> Cases {
    let long = "x".repeat(1_601);
    vec![
        (json!({"to": "4155550123"}), "/to", "international"),
        (json!({"content": {}}), "/content/text", "required"),
        (
            json!({"content": {"text": long}}),
            "/content/text",
            "at most 1600",
        ),
        (
            json!({"content": {"text": "x", "html": "x"}}),
            "/content/html",
            "known",
        ),
    ]
}

fn cases_of_push() -> Cases {
    let big = "x".repeat(2_000);
    vec![
        (json!({"to": "two words"}), "/to", "push target"),
        (
            json!({"content": {"title": "x"}}),
            "/content/text",
            "required",
        ),
        (
            json!({"content": {"text": "x", "title": "a\nb"}}),
            "/content/title",
            "one line",
        ),
        (
            json!({"content": {"text": "x", "data": "x"}}),
            "/content/data",
            "object",
        ),
        (
            json!({"content": {"text": "x", "data": {"a": "x".repeat(5_000)}}}),
            "/content/data",
            "4096",
        ),
        (
            json!({"content": {"text": big, "data": {"a": "x".repeat(3_000)}}}),
            "/content",
            "4096",
        ),
        (
            json!({"content": {"text": "x", "data": {"a": "\u{0}"}}}),
            "/content/data",
            "NUL",
        ),
        (
            json!({"content": {"text": "x", "data": {"a": nested(100)}}}),
            "/content/data",
            "100 levels",
        ),
    ]
}

/// Lists within lists.
fn nested(levels: usize) -> Json {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

/// Bodies with one wrong field each; its pointer, and some words of the error.
pub(crate) fn wrong_bodies() -> Cases {
    let emails = [
        cases_of_the_client_and_the_address(),
        cases_of_the_content(),
        cases_of_all_else(),
    ];
    let emails = emails
        .into_iter()
        .flatten()
        .map(|(c, p, w)| (email(c), p, w));
    let texts = cases_of_sms().into_iter().map(|(c, p, w)| (sms(c), p, w));
    let pushes = cases_of_push().into_iter().map(|(c, p, w)| (push(c), p, w));
    emails.chain(texts).chain(pushes).collect()
}

#[tokio::test]
async fn every_wrong_field_is_named_with_what_is_allowed() {
    let api = TestApi::start().await;
    for (body, pointer, words) in wrong_bodies() {
        refuses(&api, &body, pointer, words).await;
    }
    let history = api.get("/v1/history").await.json();
    assert_eq!(history["entries"], json!([]), "nothing of it was enqueued");
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let api = TestApi::start().await;
    let body = json!({"client": {"email": 1}, "method": "fax", "to": 1, "type": "", "content": 1,
                      "send_at": "x", "priority": 1, "metadata": 1, "x": 1});
    let answer = api.post("/v1/notifications", &body).await;
    let mut pointers: Vec<String> = answer.errors().into_iter().map(|(p, _)| p).collect();
    pointers.sort();
    // What `to` and `content` must hold depends on the method; that they are text and object does not.
    assert_eq!(
        pointers,
        [
            "/client/email",
            "/client/id",
            "/content",
            "/metadata",
            "/method",
            "/priority",
            "/send_at",
            "/to",
            "/type",
            "/x"
        ]
    );
    let answer = api.post("/v1/notifications", &json!({})).await;
    let pointers: Vec<String> = answer.errors().into_iter().map(|(p, _)| p).collect();
    assert_eq!(pointers, ["/client", "/method", "/type", "/content"]);
}

#[tokio::test]
async fn the_list_of_errors_has_an_end() {
    let api = TestApi::start().await;
    let mut body = email(json!({}));
    for i in 0..5_000 {
        body[format!("{i}{}", "y".repeat(500))] = json!(1);
    }
    let answer = api.post("/v1/notifications", &body).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.errors().len(), 1_000);
}

/// Bodies whose fields are at their limits.
pub(crate) fn good_bodies() -> Vec<Json> {
    let long = |n: usize| "é".repeat(n);
    vec![
        email(json!({"client": long(255), "type": long(200), "contact_type": long(200)})),
        email(json!({"content": {"subject": long(998), "html": "<p>\r\n\t\u{b}</p>"}})),
        email(json!({"idempotency_key": "~".repeat(255), "metadata": {}})),
        email(json!({"send_at": "2020-01-01T00:00:00Z", "expires_at": "2027-01-01T09:00:00.001Z"})),
        email(json!({"to": " ana@example.com ", "priority": "bulk"})),
        email(json!({"metadata": {"a": nested(99)}})),
        sms(json!({"content": {"text": long(1_600)}, "to": "+1 (415) 555-0123"})),
        push(json!({"content": {"text": "x"}})),
        push(json!({"content": {"text": "x", "data": {"a": nested(99)}}})),
    ]
}

#[tokio::test]
async fn what_is_at_its_limit_or_null_is_good() {
    let api = TestApi::start().await;
    for body in good_bodies() {
        let answer = api.post("/v1/notifications", &body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    let mut body = email(json!({}));
    for name in [
        "contact_type",
        "template",
        "staff_id",
        "send_at",
        "expires_at",
        "priority",
    ] {
        body[name] = Json::Null;
    }
    body["content"]["html"] = Json::Null;
    let answer = api.post("/v1/notifications", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}
