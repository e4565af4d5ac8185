//! The same body by HTTP and by SQL: the same verdict, the same errors, the same rows, the same digest.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

use super::bodies;
use super::caller::{Caller, Errors, Refused, id};
use crate::support::api::{Answer, TestApi, at, email, push, sms};
use crate::support::db::{TestDb, on_postgres};
use sendtrail::clock::Clock;
use sendtrail::domain::address::Address;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::store::erasures::{Order, Ordered};

const PATH: &str = "/v1/notifications";

/// Both ways, on one database.
struct Both {
    api: TestApi,
    caller: Caller,
}

impl Both {
    async fn of(db: &TestDb) -> Self {
        // The function's clock is the database's own.
        db.clock.set(Clock::system().now());
        db.execute(
            "UPDATE businesses SET email_from = 'Shop <shop@example.com>', reply_to = 'desk@example.com',
                sms_from = 'Shop'",
        )
        .await;
        Self {
            api: TestApi::on(db).await,
            caller: Caller::connect(db).await,
        }
    }

    /// By SQL, undone, and then by HTTP: both find the same.
    async fn agree_on(&mut self, body: &str) {
        self.caller.run("BEGIN").await;
        let by_sql = self.caller.enqueue_text(body).await;
        let rows = match &by_sql {
            Ok(answer) => Some(self.written(answer).await),
            Err(_) => None,
        };
        self.caller.run("ROLLBACK").await;
        let by_http = self.api.post_text(PATH, body).await;
        match by_sql {
            Err(refused) if asks_for_a_template(body) && by_http.status != 400 => {
                let mut pointers = refused.errors.iter().map(|(pointer, _)| pointer);
                let named = pointers.any(|pointer| pointer.ends_with("/template"));
                assert!(named, "{refused:?} {body}");
            }
            Ok(answer) => {
                assert_eq!(by_http.status, 202, "{} {body}", by_http.text);
                let http = by_http.json();
                assert_eq!(without_ids(&answer), without_ids(&http), "{body}");
                assert_eq!(rows, Some(self.written(&http).await), "{body}");
            }
            Err(refused) => refused_alike(&refused, &by_http, body),
        }
    }

    /// What stands in the tables, without what cannot be the same: tags are found later for what came by
    /// SQL.
    async fn written(&mut self, answer: &Json) -> Json {
        let receipts = answer["notifications"].as_array();
        let ids: Vec<&str> = receipts.map_or_else(
            || vec![id(answer)],
            |receipts| receipts.iter().map(id).collect(),
        );
        let ids = ids.join("','");
        let sql = format!(
            "SELECT jsonb_agg(to_jsonb(l) - '{{id,date,client_uid,content_id,tags}}'::text[]
                        || to_jsonb(m) - 'id'
                        || to_jsonb(j) - '{{id,due_at}}'::text[]
                        || jsonb_build_object('due', CASE WHEN l.send_at = j.due_at THEN j.due_at END)
                        || jsonb_build_object('files', f.files)
                        || jsonb_build_object('card', to_jsonb(c) - '{{uid,created_at}}'::text[])
                    ORDER BY l.id)
             FROM contact_log l
             JOIN message_content m ON m.id = l.content_id
             LEFT JOIN LATERAL (SELECT jsonb_agg(to_jsonb(a) - 'created_at' ORDER BY sha256) AS files
                  FROM attachments a WHERE m.attachments @> jsonb_build_array(jsonb_build_object('sha256', a.sha256))
             ) f ON true
             JOIN jobs j ON j.id = l.id
             JOIN clients c ON c.uid = l.client_uid
             JOIN contact_types t ON t.business_id = l.business_id AND t.name = l.contact_type
             LEFT JOIN staff s ON s.business_id = l.business_id AND s.staff_id = l.staff_id
             WHERE l.id IN ('{ids}') AND (l.staff_id IS NULL) = (s.staff_id IS NULL)"
        );
        by_value(self.caller.json(&sql).await)
    }
}

/// The one thing that SQL cannot do.
fn asks_for_a_template(body: &str) -> bool {
    let body = serde_json::from_str(body).unwrap_or(Json::Null);
    let one = std::slice::from_ref(&body);
    let all = body["notifications"].as_array().map_or(one, Vec::as_slice);
    all.iter().any(|it| !it["template"].is_null())
}

/// 100 and 100.0 are one number.
fn by_value(json: Json) -> Json {
    match json {
        Json::Number(number) => json!(number.as_f64().unwrap() + 0.0),
        Json::Array(items) => items.into_iter().map(by_value).collect(),
        Json::Object(fields) => fields.into_iter().map(|(k, v)| (k, by_value(v))).collect(),
        Json::Null | Json::Bool(_) | Json::String(_) => json,
    }
}

fn without_ids(answer: &Json) -> Json {
    let mut answer = answer.clone();
    if let Some(receipts) = answer.get_mut("notifications").and_then(Json::as_array_mut) {
        for receipt in receipts {
            receipt["id"] = Json::Null;
        }
    } else {
        answer["id"] = Json::Null;
    }
    answer
}

fn refused_alike(by_sql: &Refused, by_http: &Answer, body: &str) {
    let errors: Errors = by_http.errors().into_iter().collect();
    match by_http.status.as_u16() {
        // PostgreSQL itself reads the JSON, or finds a number that HTTP's reader does not take.
        400 => assert!(
            by_sql.code.starts_with("22") || by_sql.code == "ST422",
            "{by_sql:?} {body}"
        ),
        // NUL is nothing that a jsonb can hold.
        422 if errors
            .iter()
            .any(|(_, detail)| detail.contains("NUL") || body.contains("\\u0000")) =>
        {
            assert!(by_sql.code.starts_with("22"), "{by_sql:?} {body}");
        }
        422 => {
            assert_eq!(by_sql.errors, errors, "{body}");
            assert_eq!(by_sql.code, "ST422", "{body}");
        }
        409 => {
            assert_eq!(by_sql.errors, errors, "{body}");
            assert_eq!(by_sql.code, "ST409", "{body}");
        }
        other => panic!("{other}: {by_sql:?} {} {body}", by_http.text),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_and_sql_agree_on_every_body() {
    on_postgres(async |db| {
        let mut both = Both::of(db).await;
        for body in bodies::chosen() {
            both.agree_on(&body).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_and_sql_agree_on_bodies_changed_at_random() {
    on_postgres(async |db| {
        let mut both = Both::of(db).await;
        let seed = rand::random();
        println!("seed {seed}");
        for body in bodies::random(seed, 400) {
            both.agree_on(&body).await;
        }
    })
    .await;
}

/// Targets made at random of what decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_puts_every_push_target_into_the_lane_of_its_form() {
    on_postgres(async |db| {
        let seed = rand::random();
        println!("seed {seed}");
        let mut chance = StdRng::seed_from_u64(seed);
        let parts = ["arn:", "ARN:", "aR", "n:", "a", "0F", "9", "g", ":", "~"];
        let long = "0123456789abcdefABCDEF".repeat(3);
        let mut found = BTreeSet::new();
        let targets = (0..2_000).map(|_| {
            let start = &long[chance.random_range(0..8)..chance.random_range(60..=long.len())];
            let start = if chance.random_bool(0.5) { start } else { "" };
            let some = (0..chance.random_range(1..4)).map(|_| *parts.choose(&mut chance).unwrap());
            format!("{start}{}", some.collect::<String>())
        });
        let targets: Vec<String> = targets.collect();
        let sql = format!(
            "SELECT jsonb_agg(sendtrail_lane('push', t.target, 'normal') ORDER BY t.ordinality) \
             FROM unnest(ARRAY['{}']) WITH ORDINALITY AS t (target, ordinality)",
            targets.join("','")
        );
        let lanes = Caller::connect(db).await.json(&sql).await;
        for (target, lane) in targets.iter().zip(lanes.as_array().unwrap()) {
            let form = Address::parse(Method::Push, target).unwrap().form();
            found.insert(form);
            assert_eq!(*lane, json!(form.lane(Priority::Normal)), "{target}");
        }
        assert_eq!(found.len(), 3, "{found:?}");
    })
    .await;
}

/// With a key and the same body, whichever way it comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_used_by_one_way_is_known_to_the_other() {
    on_postgres(async |db| {
        let mut both = Both::of(db).await;
        let (mut asked, mut accepted) = (0, 0);
        for body in bodies::chosen() {
            let Ok(mut body) = serde_json::from_str::<Json>(&body) else {
                continue;
            };
            let Some(fields) = body.as_object_mut().filter(|it| it.contains_key("client")) else {
                continue;
            };
            asked += 1;
            fields.insert("idempotency_key".to_owned(), json!(format!("k-{asked}")));
            let first = if asked % 2 == 0 {
                let answer = both.api.post(PATH, &body).await;
                answer.status.is_success().then(|| answer.json())
            } else {
                both.caller.enqueue(&body).await.ok()
            };
            let Some(first) = first else { continue };
            accepted += 1;
            let again = both.caller.enqueue(&body).await;
            let again = again.unwrap_or_else(|refused| panic!("{refused:?} {body}"));
            let wanted = json!({"id": id(&first), "duplicate": true, "status": "Awaiting Send",
                "statuses": ["Awaiting Send"]});
            assert_eq!(again, wanted, "{body}");
            let again = both.api.post(PATH, &body).await;
            assert_eq!(again.status, 200, "{} {body}", again.text);
            assert_eq!(again.json(), wanted, "{body}");
            body["type"] = json!("another");
            let refused = both.caller.enqueue(&body).await.unwrap_err();
            assert_eq!(refused.code, "ST409");
            refused_alike(
                &refused,
                &both.api.post(PATH, &body).await,
                &body.to_string(),
            );
        }
        assert!(accepted > 100, "{accepted} of {asked}");
    })
    .await;
}

/// Every field tells in the digest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_body_under_a_key_is_a_conflict_by_both_ways() {
    on_postgres(async |db| {
        let mut both = Both::of(db).await;
        let changes = [
            (email as fn(Json) -> Json, json!({"client": {"id": "C-1001", "name": "Ana"}})),
            (email, json!({"to": "b@example.com"})),
            (email, json!({"contact_type": "T"})),
            (email, json!({"content": {"subject": "S", "text": "Hello Ana", "html": "<p>Hello Ana</p>"}})),
            (email, json!({"content": {"subject": "See you on Monday", "text": "Hello Ana"}})),
            (email, json!({"staff_id": "S"})),
            (email, json!({"send_at": "2100-01-01T00:00:00.001Z"})),
            (email, json!({"expires_at": "2100-01-01T00:00:00.002Z"})),
            (email, json!({"priority": "high"})),
            (email, json!({"metadata": {}})),
            (email, json!({"metadata": {"a": 1}})),
            (sms, json!({"content": {"text": "x"}})),
            (push, json!({"content": {"title": "Monday", "text": "See you", "data": {"a": [1, {"b": 0}]}}})),
            (push, json!({"content": {"text": "See you", "data": {"a": [1, {"b": null}]}}})),
        ];
        for (number, (make, mut change)) in changes.into_iter().enumerate() {
            let key = json!(format!("k-{number}"));
            let first = make(json!({"idempotency_key": key}));
            both.api.post(PATH, &first).await;
            change["idempotency_key"] = key;
            let other = make(change);
            let refused = both.caller.enqueue(&other).await.unwrap_err();
            assert_eq!(refused.code, "ST409", "{other}");
            refused_alike(&refused, &both.api.post(PATH, &other).await, &other.to_string());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_is_answered_by_sql_even_after_its_last_moment() {
    on_postgres(async |db| {
        let mut both = Both::of(db).await;
        // In time for HTTP, whose clock stands still, and late for SQL, which has the database's.
        db.clock.set(at("2020-01-01T00:00:00Z"));
        let expires_at = "2020-01-01T00:00:01Z";
        let body = email(json!({"idempotency_key": "k", "expires_at": expires_at}));
        let first = both.api.post(PATH, &body).await;
        assert_eq!(first.status, 202, "{}", first.text);
        let again = both.caller.enqueue(&body).await.unwrap();
        assert_eq!(
            (id(&again), &again["duplicate"]),
            (id(&first.json()), &json!(true))
        );
        let late = email(json!({"idempotency_key": "l", "expires_at": expires_at}));
        let refused = both.caller.enqueue(&late).await.unwrap_err();
        assert_eq!(refused.code, "ST422");
        assert_eq!(
            refused.message,
            "sendtrail_enqueue: /expires_at must be in the future"
        );
    })
    .await;
}

/// The card of a client who was erased stays blank, and what was enqueued before is answered as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_enqueued_by_sql_for_a_client_who_was_erased() {
    on_postgres(async |db| {
        let mut both = Both::of(db).await;
        let first = both.api.post(PATH, &email(json!({}))).await;
        assert_eq!(first.status, 202, "{}", first.text);
        let body = email(json!({}));
        let order = Order {
            business: "default",
            client_id: body["client"]["id"].as_str().unwrap(),
            asked_by: "test",
            reason: None,
        };
        let ordered = db.store.erase_client(order).await.unwrap();
        let Ordered::Begun(erasure) = ordered else {
            panic!("{ordered:?}")
        };
        let gone = json!({"id": format!("erased-{}", erasure.client), "name": "Ana", "phone": "+14155550123"});
        let card = format!("SELECT to_jsonb(c) FROM clients c WHERE uid = '{}'", erasure.client);
        let blank = both.caller.json(&card).await;
        assert_eq!(blank["phone"], Json::Null);
        for body in [
            email(json!({"client": gone})),
            email(json!({"client": gone, "to": null})),
            json!({"notifications": [email(json!({})), email(json!({"client": gone}))]}),
        ] {
            let refused = both.caller.enqueue(&body).await.unwrap_err();
            assert_eq!(refused.code, "ST422", "{body}");
            refused_alike(&refused, &both.api.post(PATH, &body).await, &body.to_string());
        }
        assert_eq!(both.caller.json(&card).await, blank);
    })
    .await;
}
