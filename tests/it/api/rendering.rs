//! Notifications made from templates: filled at enqueue, wrong in named places, fast in batches.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, email, push, sms};

const PATH: &str = "/v1/notifications";

/// A good email from this template.
fn filled(template: Json, changes: Json) -> Json {
    let mut body = email(json!({"content": null, "type": null, "template": template}));
    let Json::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        body[name] = value;
    }
    body
}

async fn confirmation(api: &TestApi) -> Json {
    let template = json!({
        "method": "email", "type": "Booking confirmation",
        "subject": "Booking {{ booking.number }}",
        "html": "<p>Dear {{ name }}</p>{% for i in items %}<li>{{ i.what }}: {{ i.price }}</li>{% endfor %}",
    });
    api.put_template("confirmation", template).await
}

fn data() -> Json {
    json!({
        "name": "Ana <b>Ruiz</b>", "booking": {"number": 8812},
        "items": [{"what": "Tea", "price": 3}, {"what": "Cake", "price": 4.5}],
    })
}

#[tokio::test]
async fn what_was_made_is_frozen_shown_and_traced_to_its_version() {
    let api = TestApi::start().await;
    let template = confirmation(&api).await;
    let asked = json!({"name": "confirmation", "data": data()});
    let asked = json!({"content": null, "type": null, "template": asked});
    let id = api.enqueue(asked).await;
    let entry = api.entry(&id).await;
    assert_eq!(entry["type"], "Booking confirmation", "the template's own");
    let version = &template["version"];
    assert_eq!(
        entry["template"],
        json!({"name": "confirmation", "version": version})
    );
    let later = json!({"method": "email", "subject": "other", "text": "other"});
    api.put_template("confirmation", later).await;
    let content = api.get(&format!("{PATH}/{id}/content")).await.json();
    assert_eq!(
        content,
        json!({
            "method": "email", "from": null, "reply_to": null, "subject": "Booking 8812",
            "html": "<p>Dear Ana &lt;b&gt;Ruiz&lt;&#x2f;b&gt;</p><li>Tea: 3</li><li>Cake: 4.5</li>",
            "text": "Dear Ana <b>Ruiz</b>\n\n* Tea: 3\n* Cake: 4.5", "attachments": [],
        })
    );
    let claim = api.claim().await;
    let message = format!("{:?}", claim.jobs[0].message);
    assert!(message.contains("Booking 8812"), "{message}");
    api.clock.set(api.clock.now().plus(Duration::from_secs(1)));
    let resend = api
        .post(&format!("{PATH}/{id}/resend"), &json!({}))
        .await
        .json();
    let resent = api.entry(resend["id"].as_str().unwrap()).await;
    assert_eq!(resent["template"], entry["template"]);
}

#[tokio::test]
async fn texts_and_pushes_are_made_as_well() {
    let api = TestApi::start().await;
    api.put_template(
        "sms",
        json!({"method": "sms", "text": "Hi {{ n }} & <you>"}),
    )
    .await;
    let title = json!({"method": "push", "type": "P", "title": "T {{ n }}", "text": "B {{ n }}"});
    api.put_template("push", title).await;
    let asked = |name: &str| json!({"name": name, "data": {"n": "Ana"}});
    let text = sms(json!({"content": null, "template": asked("sms")}));
    let push = push(json!({"content": null, "type": null, "template": asked("push")}));
    let answer = api
        .post(PATH, &json!({"notifications": [text, push]}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let receipts = answer.json();
    let content = async |index: usize| {
        let id = receipts["notifications"][index]["id"].as_str().unwrap();
        api.get(&format!("{PATH}/{id}/content")).await.json()
    };
    assert_eq!(content(0).await["text"], "Hi Ana & <you>");
    let expected = json!({"method": "push", "title": "T Ana", "text": "B Ana", "data": {}});
    assert_eq!(content(1).await, expected);
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_at_once_and_nothing_enqueued() {
    let api = TestApi::start().await;
    confirmation(&api).await;
    api.put_template("sms", json!({"method": "sms", "text": "{{ n }}"}))
        .await;
    let asked = |name: &str, data: Json| json!({"name": name, "data": data});
    let batch = json!({"notifications": [
        filled(asked("confirmation", data()), json!({})),
        filled(asked("confirmation", json!({"booking": {}, "items": [{"what": "Tea"}]})),
               json!({"to": "nobody"})),
        filled(asked("none", json!({})), json!({})),
        filled(asked("sms", json!({})), json!({})),
        filled(asked("confirmation", json!({"name": null, "booking": {"number": 1}, "items": []})), json!({})),
        sms(json!({"content": null, "template": asked("sms", json!({"n": ""}))})),
        sms(json!({"content": null, "type": null, "template": asked("sms", json!({"n": "x"}))})),
    ]});
    let answer = api.post(PATH, &batch).await;
    assert_eq!(answer.status, 422);
    let mut errors = answer.errors();
    errors.sort();
    let found: Vec<(&str, &str)> = errors
        .iter()
        .map(|(pointer, detail)| (pointer.as_str(), detail.as_str()))
        .collect();
    let missing = "is missing: the template asks for it";
    assert_eq!(
        found,
        [
            (
                "/notifications/1/template/data",
                format!("`i.price` {missing} (html, line 1)").as_str()
            ),
            (
                "/notifications/1/template/data/booking/number",
                &format!("{missing} (subject, line 1)")
            ),
            (
                "/notifications/1/template/data/name",
                &format!("{missing} (html, line 1)")
            ),
            (
                "/notifications/1/to",
                "is not an email address: write it like ana@example.com"
            ),
            (
                "/notifications/2/template/name",
                "is no template of this business"
            ),
            (
                "/notifications/3/template/name",
                "is a template for sms, not for email"
            ),
            (
                "/notifications/4/template/data/name",
                "is null: the template asks for a value (html, line 1)"
            ),
            (
                "/notifications/5/template",
                "the rendered text must not be empty"
            ),
            (
                "/notifications/6/type",
                "is required: the template brings none"
            ),
        ]
    );
    assert_eq!(api.get("/v1/history").await.json()["entries"], json!([]));
}

#[tokio::test]
async fn the_fields_of_a_template_are_checked_before_it_is_looked_up() {
    let api = TestApi::start().await;
    confirmation(&api).await;
    for (template, pointer, words) in [
        (json!("confirmation"), "/template", "object"),
        (json!({}), "/template/name", "required"),
        (json!({"name": 7}), "/template/name", "string"),
        (
            json!({"name": "confirmation", "data": []}),
            "/template/data",
            "object",
        ),
        (
            json!({"name": "confirmation", "data": {"a": "x".repeat(70_000)}}),
            "/template/data",
            "at most 65536",
        ),
        (
            json!({"name": "confirmation", "data": data(), "colour": 1}),
            "/template/colour",
            "known here",
        ),
        (
            json!({"name": "confirmation", "data": data(), "reply_to": "x"}),
            "/template/reply_to",
            "mailbox",
        ),
    ] {
        let answer = api.post(PATH, &filled(template.clone(), json!({}))).await;
        assert_eq!(answer.status, 422, "{template}");
        let errors = answer.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].0, pointer, "{errors:?}");
        assert!(errors[0].1.contains(words), "{errors:?}");
    }
    let template = json!({"name": "x", "reply_to": "a@example.com", "attachments": []});
    let answer = api
        .post(PATH, &sms(json!({"content": null, "template": template})))
        .await;
    let errors = answer.errors();
    let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
    let expected = [
        "/template/attachments",
        "/template/reply_to",
        "/template/name",
    ];
    assert_eq!(pointers, expected);
    assert!(errors[0].1.contains("only emails"));
    let unknown = json!({"method": "fax", "template": 7});
    let answer = api.post(PATH, &filled(json!({}), unknown)).await;
    let errors = answer.errors();
    let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/method", "/template"]);
}

#[tokio::test]
async fn data_cannot_forge_a_header_or_a_message_that_is_too_long() {
    let api = TestApi::start().await;
    let template =
        json!({"method": "email", "type": "t", "subject": "Hi {{ n }}", "text": "{{ n * k }}"});
    api.put_template("t", template).await;
    let asked = |n: &str, k: usize| json!({"name": "t", "data": {"n": n, "k": k}});
    for (n, k, words) in [
        (
            "a\r\nBcc: evil@example.com",
            1,
            "the rendered subject must be one line",
        ),
        ("a\nb", 1, "the rendered subject must be one line"),
        ("a\u{85}b", 1, "the rendered subject must be one line"),
        (
            &"x".repeat(1_000),
            1,
            "the rendered subject is too long: at most 998",
        ),
        (
            "xxxxxxxxxx",
            60_000,
            "the rendered text is too long: at most 524288",
        ),
    ] {
        let answer = api.post(PATH, &filled(asked(n, k), json!({}))).await;
        assert_eq!(answer.status, 422);
        let errors = answer.errors();
        assert!(
            errors
                .iter()
                .any(|(at, why)| at == "/template" && why.contains(words)),
            "{errors:?}"
        );
    }
}

#[tokio::test]
async fn the_same_request_is_the_same_although_its_template_has_changed() {
    let api = TestApi::start().await;
    let template =
        |text: &str| json!({"method": "email", "type": "t", "subject": "s", "text": text});
    api.put_template("t", template("one {{ a }}")).await;
    let keyed = |data: Json| {
        filled(
            json!({"name": "t", "data": data}),
            json!({"idempotency_key": "k"}),
        )
    };
    let first = api.post(PATH, &keyed(json!({"a": 1}))).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let id = first.json()["id"].clone();
    api.put_template("t", template("two {{ a }}")).await;
    let again = api.post(PATH, &keyed(json!({"a": 1}))).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["id"]),
        (200, &id),
        "{}",
        again.text
    );
    // Now the data does not fit any more.
    api.put_template("t", template("three {{ a }} {{ b }}"))
        .await;
    let again = api.post(PATH, &keyed(json!({"a": 1}))).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["id"]),
        (200, &id),
        "{}",
        again.text
    );
    assert_eq!(again.json()["duplicate"], true);
    let other = api.post(PATH, &keyed(json!({"a": 2}))).await;
    assert_eq!(
        other.status, 422,
        "another request is judged anew: {}",
        other.text
    );
    let other = api.post(PATH, &keyed(json!({"a": 2, "b": 2}))).await;
    assert_eq!(other.status, 409, "{}", other.text);
    // A batch in which one is a repetition and one is not.
    let fresh = filled(json!({"name": "t", "data": {"a": 1, "b": 1}}), json!({}));
    let batch = json!({"notifications": [fresh, keyed(json!({"a": 1}))]});
    let answer = api.post(PATH, &batch).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json()["notifications"][1]["id"], id);
    let bad = filled(json!({"name": "t", "data": {"a": 1}}), json!({}));
    let batch = json!({"notifications": [bad, keyed(json!({"a": 1}))]});
    let errors = api.post(PATH, &batch).await.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].0, "/notifications/0/template/data/b");
}

#[tokio::test]
async fn a_hostile_batch_ends_soon_and_says_why() {
    let api = TestApi::start().await;
    let template =
        |text: &str| json!({"method": "email", "type": "t", "subject": "s", "text": text});
    let work = "{% for i in range(30000) %}{% if i %}{% endif %}{% endfor %}x";
    let batch = |count: usize, data: Json| {
        let one = filled(json!({"name": "t", "data": data}), json!({}));
        json!({"notifications": vec![one; count]})
    };
    let mut last = Vec::new();
    for (text, words) in [
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "too much work",
        ),
        (work, "too much work together"),
        ("{{ 'x' * 500000 }}", "too much text together"),
        ("{{ missing }}", "mend those above first"),
    ] {
        api.put_template("t", template(text)).await;
        let begun = Instant::now();
        let answer = api.post(PATH, &batch(1_000, json!({}))).await;
        let spent = begun.elapsed();
        assert_eq!(answer.status, 422, "{text}");
        last = answer.errors();
        assert!(
            last.last().unwrap().1.contains(words) || last[0].1.contains(words),
            "{text}: {last:?}"
        );
        assert!(last.len() <= 101, "{}", last.len());
        println!("{text}: {spent:?}");
        assert!(spent < Duration::from_secs(60), "{text}: {spent:?}");
    }
    assert!(last.len() > 10, "many are named: {}", last.len());
    let mut many = Vec::new();
    for number in 0..51 {
        let name = format!("t{number}");
        many.push(filled(json!({"name": name}), json!({})));
    }
    let errors = api
        .post(PATH, &json!({"notifications": many}))
        .await
        .errors();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].1.contains("more than 50 templates"), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_a_thousand_from_one_template_is_nearly_as_fast_as_plain_content() {
    let api = TestApi::start().await;
    confirmation(&api).await;
    let (mut plain, mut made) = (Duration::MAX, Duration::MAX);
    for round in 0..3 {
        let notifications: Vec<Json> = (0..1_000)
            .map(|number| {
                let client = json!(format!("C-{round}-{number}"));
                email(json!({"client": client, "content": {
                    "subject": "Booking 8812", "text": "Dear Ana\n\n* Tea: 3\n* Cake: 4.5",
                    "html": "<p>Dear Ana</p><li>Tea: 3</li><li>Cake: 4.5</li>",
                }}))
            })
            .collect();
        plain = plain.min(time(&api, notifications).await);
        let notifications: Vec<Json> = (0..1_000)
            .map(|number| {
                let client = json!(format!("D-{round}-{number}"));
                let asked = json!({"name": "confirmation", "data": data()});
                filled(asked, json!({"client": client}))
            })
            .collect();
        made = made.min(time(&api, notifications).await);
    }
    println!("1,000 with plain content: {plain:?}; from a template: {made:?}");
    assert!(
        made < plain * 4,
        "{made:?} against {plain:?}, in a debug build"
    );
}

async fn time(api: &TestApi, notifications: Vec<Json>) -> Duration {
    let body = json!({ "notifications": notifications });
    let begun = Instant::now();
    let answer = api.post(PATH, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    begun.elapsed()
}
