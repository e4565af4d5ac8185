//! The contact history: pages, filters, orders.

use sendtrail::domain::event::{Bounce, Severity, What};
use sendtrail::domain::reason::Category;
use serde_json::json;

use crate::support::api::{TestApi, at, push, sms};

async fn types(api: &TestApi, query: &str) -> Vec<String> {
    let answer = api.get(&format!("/v1/history?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let json = answer.json();
    let entries = json["entries"].as_array().unwrap();
    let text = |entry: &serde_json::Value| entry["type"].as_str().unwrap().to_owned();
    entries.iter().map(text).collect()
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let api = TestApi::start().await;
    for i in 0..7 {
        api.enqueue(json!({"type": format!("n{i}")})).await;
    }
    for (sort, mut expected) in [("-date", 0..7), ("date", 0..7)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/clients/C-1001/history?limit=3&sort={sort}&cursor={cursor}");
            let page = api.get(&path).await.json();
            let entries = page["entries"].as_array().unwrap();
            assert!(entries.len() <= 3);
            seen.extend(
                entries
                    .iter()
                    .map(|entry| entry["type"].as_str().unwrap().to_owned()),
            );
            // An entry that comes in between belongs to no page behind it.
            api.enqueue(json!({"client": "C-2", "type": "later"})).await;
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        if sort == "-date" {
            seen.reverse();
        }
        assert!(
            seen.iter()
                .all(|name| *name == format!("n{}", expected.next().unwrap()))
        );
        assert_eq!(expected.next(), None);
    }
    let cursor = api.get("/v1/history?limit=1").await.json()["next"].clone();
    let cursor = cursor.as_str().unwrap();
    let other_order = format!("/v1/history?sort=date&cursor={cursor}");
    assert_eq!(api.get(&other_order).await.errors()[0].0, "/cursor");
}

#[tokio::test]
async fn a_full_last_page_has_no_next() {
    let api = TestApi::start().await;
    for _ in 0..4 {
        api.enqueue(json!({})).await;
    }
    let page = api.get("/v1/history?limit=4").await.json();
    assert_eq!(page["entries"].as_array().unwrap().len(), 4);
    assert_eq!(page["next"], json!(null));
    let entry = &page["entries"][0];
    assert!(entry.get("timeline").is_none() && entry.get("attempts").is_none());
    assert_eq!(entry["facts"], json!({}));
    assert_eq!(entry["statuses"], json!(["Awaiting Send"]));
}

#[tokio::test]
async fn filters_choose_by_what_staff_see() {
    let api = TestApi::start().await;
    let path = "/v1/notifications";
    api.enqueue(json!({"type": "mail", "staff_id": "S-7", "contact_type": "Admin Business"}))
        .await;
    api.clock.set(at("2027-01-02T00:00:00Z"));
    api.post(path, &sms(json!({"type": "text"}))).await;
    api.clock.set(at("2027-01-03T12:00:00Z"));
    let other = json!({"id": "C-2", "name": "Bruno Díaz"});
    api.post(path, &push(json!({"type": "note", "client": other})))
        .await;
    for (query, expected) in [
        ("", &["note", "text", "mail"][..]),
        ("sort=date", &["mail", "text", "note"]),
        ("method=&status=&limit=&cursor=", &["note", "text", "mail"]),
        ("method=sms", &["text"]),
        ("method=Email", &["mail"]),
        ("contact_type=Admin%20Business", &["mail"]),
        ("contact_type=Admin+Business", &["mail"]),
        ("contact_type=Nothing", &[]),
        ("staff_id=S-7", &["mail"]),
        ("channel=outbound", &["note", "text", "mail"]),
        ("channel=Inbound", &[]),
        ("from=2027-01-02", &["note", "text"]),
        ("to=2027-01-01", &["mail"]),
        ("from=2027-01-02&to=2027-01-02", &["text"]),
        ("to=2027-01-02T00:00:00Z", &["mail"]),
        ("to=2027-01-02T01:00:00.001%2B01:00", &["text", "mail"]),
        ("search=bruno", &["note"]),
        ("search=ANA@EXAMPLE", &["mail"]),
        ("search=tex", &["text"]),
        ("search=%25", &[]),
        ("search='%20OR%201=1%20--", &[]),
        ("status=Awaiting%20Send&method=push", &["note"]),
    ] {
        assert_eq!(types(&api, query).await, expected, "{query}");
    }
    let of_client = api.get("/v1/clients/C-2/history").await.json();
    assert_eq!(of_client["entries"].as_array().unwrap().len(), 1);
    assert_eq!(of_client["entries"][0]["client_name"], "Bruno Díaz");
}

#[tokio::test]
async fn statuses_match_any_or_all() {
    let api = TestApi::start().await;
    let opened = || What::Opened {
        user_agent: None,
        by_machine: false,
    };
    let bounced = || {
        What::Bounced(Bounce {
            severity: Severity::Permanent,
            category: Category::InvalidAddress,
            subtype: None,
            status: None,
            diagnostic: None,
        })
    };
    let both = api.enqueue(json!({"type": "both"})).await;
    api.report(&both, "2027-01-01T09:01:00Z", opened()).await;
    api.report(&both, "2027-01-01T09:02:00Z", bounced()).await;
    let open = api.enqueue(json!({"type": "open"})).await;
    api.report(&open, "2027-01-01T09:01:00Z", opened()).await;
    let bounce = api.enqueue(json!({"type": "bounce"})).await;
    api.report(&bounce, "2027-01-01T09:01:00Z", bounced()).await;
    api.enqueue(json!({"type": "waits"})).await;
    for (query, expected) in [
        ("status=Opened", &["open", "both"][..]),
        ("status=bounced", &["bounce", "both"]),
        ("status=Opened&status=Bounced", &["bounce", "open", "both"]),
        ("status=Opened&status=Bounced&match=all", &["both"]),
        ("status=Bounced&status=Opened&match=all", &["both"]),
        ("status=Sent&status=Opened&match=all", &[]),
        ("status=awaiting_send", &["waits"]),
        ("status=AWAITING%20SEND&status=Failed", &["waits"]),
    ] {
        assert_eq!(types(&api, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_all_named_at_once() {
    let api = TestApi::start().await;
    api.enqueue(json!({})).await;
    let query = "method=fax&status=Gone&match=some&channel=up&from=x&to=1.1.2027&sort=type\
                 &limit=0&cursor=!!&colour=red&staff_id=a%00b";
    for path in ["/v1/history", "/v1/clients/C-1001/history"] {
        let answer = api.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.status, 422);
        let mut pointers: Vec<String> = answer.errors().into_iter().map(|(p, _)| p).collect();
        pointers.sort();
        assert_eq!(
            pointers,
            [
                "/channel",
                "/colour",
                "/cursor",
                "/from",
                "/limit",
                "/match",
                "/method",
                "/sort",
                "/staff_id",
                "/status",
                "/to"
            ]
        );
    }
    for (query, words) in [
        ("sort=type", "-date, date"),
        (
            "status=Gone",
            "Awaiting Send, Sent, Unopened, Opened, Bounced, Failed",
        ),
        ("limit=201", "1 to 200"),
        ("limit=-1", "1 to 200"),
        ("limit=1e2", "1 to 200"),
        ("limit=10&limit=20", "twice"),
        ("page=2", "names known here"),
        ("search=a%0Ab", "control"),
    ] {
        let answer = api.get(&format!("/v1/history?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert!(answer.errors()[0].1.contains(words), "{}", answer.text);
    }
    let long = "x".repeat(256);
    let answer = api.get(&format!("/v1/history?search={long}")).await;
    assert!(
        answer.errors()[0].1.contains("at most 255"),
        "{}",
        answer.text
    );
}
