//! Attachments of emails: taken in, refused by name, shown, handed out, sent again.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value as Json, json};

use crate::support::api::{TestApi, email, push, sms};

const PATH: &str = "/v1/notifications";

fn file(changes: Json) -> Json {
    let mut file = json!({
        "name": "invoice.pdf", "content_type": "application/pdf",
        "data": BASE64_STANDARD.encode(b"%PDF-1.7\0\xff"),
    });
    let Json::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        file[name] = value;
    }
    file
}

fn with_files(files: &[Json]) -> Json {
    let content = json!({
        "subject": "x", "html": "<img src=\"cid:logo\">", "attachments": files,
        "reply_to": "Ana Ruiz <ana@example.com>",
    });
    email(json!({ "content": content }))
}

fn base64(bytes: usize) -> String {
    BASE64_STANDARD.encode(vec![7_u8; bytes])
}

#[tokio::test]
async fn files_are_shown_with_the_content_and_handed_out_as_they_came() {
    let api = TestApi::start().await;
    let logo = json!({"name": "Grüße \"x\".png", "content_type": "image/png", "content_id": "logo",
                      "data": base64(3)});
    let id = api.enqueue(with_files(&[file(json!({})), logo])).await;
    let content = api.get(&format!("{PATH}/{id}/content")).await.json();
    assert_eq!(content["reply_to"], "Ana Ruiz <ana@example.com>");
    let files = content["attachments"].as_array().unwrap();
    assert_eq!(
        files[0],
        json!({
            "name": "invoice.pdf", "content_type": "application/pdf", "content_id": null,
            "size": 10, "href": format!("{PATH}/{id}/attachments/1"),
            "sha256": files[0]["sha256"],
        })
    );
    assert_eq!(files[0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(files[1]["content_id"], "logo");
    let first = api.get(files[0]["href"].as_str().unwrap()).await;
    assert_eq!(
        (first.status.as_u16(), first.bytes.as_slice()),
        (200, &b"%PDF-1.7\0\xff"[..])
    );
    assert_eq!(first.headers["content-type"], "application/pdf");
    let disposition = "attachment; filename*=UTF-8''invoice.pdf";
    assert_eq!(first.headers["content-disposition"], disposition);
    let second = api.get(files[1]["href"].as_str().unwrap()).await;
    let disposition = "attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22x%22.png";
    assert_eq!(second.headers["content-disposition"], disposition);
    assert_eq!(second.bytes, [7, 7, 7]);

    for n in ["0", "3", "x", "-1", "99999999999999999999"] {
        let answer = api.get(&format!("{PATH}/{id}/attachments/{n}")).await;
        assert_eq!(answer.status, 404, "{n}");
    }
    let other = api.new_key("other", "admin").await;
    let href = files[0]["href"].as_str().unwrap();
    assert_eq!(api.ask("GET", href, Some(&other), None).await.status, 404);
    let enqueuer = api.new_key("default", "enqueue").await;
    assert_eq!(
        api.ask("GET", href, Some(&enqueuer), None).await.status,
        403
    );
    let plain = api.enqueue(email(json!({}))).await;
    let answer = api.get(&format!("{PATH}/{plain}/attachments/1")).await;
    assert_eq!(answer.status, 404);

    api.work_sent().await;
    api.clock.set(api.clock.now().plus(Duration::from_secs(1)));
    let resend = api.post(&format!("{PATH}/{id}/resend"), &json!({})).await;
    assert_eq!(resend.status, 202, "{}", resend.text);
    let again = resend.json()["id"].as_str().unwrap().to_owned();
    let answer = api.get(&format!("{PATH}/{again}/attachments/1")).await;
    assert_eq!(answer.bytes, b"%PDF-1.7\0\xff");
}

#[tokio::test]
async fn every_rule_for_a_file_is_said() {
    let api = TestApi::start().await;
    for (changes, name, words) in [
        (json!({"name": null}), "name", "required"),
        (json!({"name": ""}), "name", "empty"),
        (
            json!({"name": "a\r\nBcc: evil@example.com"}),
            "name",
            "one line",
        ),
        (json!({"name": "a\u{0}.pdf"}), "name", "one line"),
        (
            json!({"name": "../../etc/passwd"}),
            "name",
            "without folders",
        ),
        (json!({"name": "C:\\x.pdf"}), "name", "without folders"),
        (json!({"name": ".."}), "name", "name of a file"),
        (
            json!({"name": "invoice\u{202e}fdp.exe"}),
            "name",
            "direction of writing",
        ),
        (json!({"name": "x".repeat(201)}), "name", "at most 200"),
        (json!({"content_type": null}), "content_type", "required"),
        (json!({"content_type": "pdf"}), "content_type", "media type"),
        (
            json!({"content_type": "a/b\r\nBcc: x"}),
            "content_type",
            "one line",
        ),
        (
            json!({"content_type": "a/b c"}),
            "content_type",
            "media type",
        ),
        (
            json!({"content_type": "a/b; x"}),
            "content_type",
            "media type",
        ),
        (
            json!({"content_type": "a/b; x=\"y\""}),
            "content_type",
            "media type",
        ),
        (
            json!({"content_type": "multipart/mixed; boundary=x"}),
            "content_type",
            "type of a file",
        ),
        (
            json!({"content_type": "Message/rfc822"}),
            "content_type",
            "type of a file",
        ),
        (json!({"content_id": "a b"}), "content_id", "visible"),
        (json!({"content_id": "a>"}), "content_id", "letters, digits"),
        (json!({"data": null}), "data", "required"),
        (json!({"data": ""}), "data", "empty"),
        (json!({"data": "a"}), "data", "base64"),
        (json!({"data": "YQ"}), "data", "base64"),
        (json!({"data": "YQ==\n"}), "data", "base64"),
        (json!({"data": "_-8="}), "data", "base64"),
        (json!({"data": [1, 2]}), "data", "string"),
        (
            json!({"data": base64(5_000_001)}),
            "data",
            "at most 5000000",
        ),
        (
            json!({"data": "A".repeat(8_000_000)}),
            "data",
            "at most 5000000",
        ),
        (json!({"size": 1}), "size", "known here"),
    ] {
        let answer = api
            .post(PATH, &with_files(&[file(json!({})), file(changes.clone())]))
            .await;
        assert_eq!(answer.status, 422, "{name}: {words}");
        let errors = answer.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(
            errors[0].0,
            format!("/content/attachments/1/{name}"),
            "{errors:?}"
        );
        assert!(errors[0].1.contains(words), "{errors:?}");
    }
}

#[tokio::test]
async fn the_files_of_an_email_are_bounded_together() {
    let api = TestApi::start().await;
    let large = file(json!({"data": base64(3_500_000)}));
    let largest = with_files(&[large.clone(), large.clone()]);
    let answer = api.post(PATH, &largest).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let small = file(json!({"data": base64(1)}));
    let wrong = async |files: &[Json]| api.post(PATH, &with_files(files)).await.errors();
    for (files, words) in [
        (
            vec![large.clone(), large, small.clone()],
            "7000001 bytes together: at most 7000000",
        ),
        (vec![small.clone(); 11], "has 11 items: at most 10"),
        (
            vec![file(json!({"content_id": "a"})); 2],
            "content_id twice",
        ),
    ] {
        let errors = wrong(&files).await;
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].0, "/content/attachments");
        assert!(errors[0].1.contains(words), "{errors:?}");
    }
    assert!(wrong(&vec![small; 10]).await.is_empty());
    let content =
        json!({"subject": "x", "text": "x", "attachments": [file(json!({"content_id": "a"}))]});
    let errors = api
        .post(PATH, &email(json!({ "content": content })))
        .await
        .errors();
    assert_eq!(errors[0].0, "/content/attachments/0/content_id");
    assert!(errors[0].1.contains("needs `html`"), "{errors:?}");
}

#[tokio::test]
async fn only_emails_have_attachments_and_addresses_for_answers() {
    let api = TestApi::start().await;
    let content =
        json!({"text": "x", "attachments": [file(json!({}))], "reply_to": "a@example.com"});
    for body in [
        sms(json!({"content": content.clone()})),
        push(json!({"content": content})),
    ] {
        let answer = api.post(PATH, &body).await;
        assert_eq!(answer.status, 422);
        let errors = answer.errors();
        let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/content/attachments", "/content/reply_to"]);
        assert!(
            errors
                .iter()
                .all(|(_, detail)| detail.contains("only emails")),
            "{errors:?}"
        );
    }
}

#[tokio::test]
async fn a_file_is_part_of_what_was_asked_for() {
    let api = TestApi::start().await;
    let keyed = |data: &str, name: &str| {
        let mut body = with_files(&[file(json!({"data": data, "name": name}))]);
        body["idempotency_key"] = json!("k");
        body
    };
    let first = api.post(PATH, &keyed("YQ==", "a")).await;
    assert_eq!(first.status, 202);
    assert_eq!(api.post(PATH, &keyed("YQ==", "a")).await.status, 200);
    assert_eq!(api.post(PATH, &keyed("Yg==", "a")).await.status, 409);
    assert_eq!(api.post(PATH, &keyed("YQ==", "b")).await.status, 409);
}

#[tokio::test]
async fn a_template_takes_files_and_an_address_for_answers_along() {
    let api = TestApi::start().await;
    let template =
        json!({"method": "email", "type": "t", "subject": "s", "html": "<img src=\"cid:logo\">"});
    api.put_template("t", template).await;
    let asked = json!({
        "name": "t", "reply_to": "answers@example.com",
        "attachments": [file(json!({"content_id": "logo"}))],
    });
    let id = api
        .enqueue(json!({"content": null, "type": null, "template": asked}))
        .await;
    let content = api.get(&format!("{PATH}/{id}/content")).await.json();
    assert_eq!(content["reply_to"], "answers@example.com");
    assert_eq!(content["attachments"][0]["content_id"], "logo");
    assert_eq!(content["text"], Json::Null, "nothing to say but a picture");
}
