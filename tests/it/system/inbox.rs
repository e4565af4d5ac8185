//! `sendtrail verify` and `sendtrail feedback list|show|apply|replay`, as operators use them.

use std::time::Duration;

use sendtrail::domain::id::NotificationId;
use sendtrail::store::feedback::Incoming;
use serde_json::{Value, json};

use super::child::{Ran, Variables, run};
use crate::store::make::{delivered, email, enqueued, happening, incoming};
use crate::support::db::{TestDb, both};

both!(
    facts_that_differ_are_named_and_repaired_on_demand,
    messages_are_listed_shown_and_applied_again,
    what_is_typed_wrongly_is_explained,
);

fn expect(ran: &Ran, code: i32, said: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for words in said {
        let found = ran.out.contains(words) || ran.errors.contains(words);
        assert!(found, "{words:?} is not in {ran:?}");
    }
}

async fn facts_that_differ_are_named_and_repaired_on_demand(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 3]).await;
    for id in &ids {
        let happenings = vec![happening(1, db.clock.now(), delivered())];
        let message = incoming(&id.to_string(), Some(*id), None, happenings);
        db.store.keep_feedback(message).await.unwrap();
    }
    let variables = Variables::of(db);
    expect(&run(&variables, &["verify"]), 0, &["3 compared: 0 differ"]);
    let meddle = "UPDATE delivery_facts SET delivered_at = NULL WHERE notification_id = ";
    db.execute(&format!("{meddle} '{}'", ids[1])).await;
    for _ in 0..2 {
        let line = format!("{}  delivered_at\n", ids[1]);
        expect(&run(&variables, &["verify"]), 1, &[&line, "1 differ"]);
    }
    let later = db.clock.now().plus(Duration::from_secs(1)).to_string();
    expect(
        &run(&variables, &["verify", "--from", &later]),
        0,
        &["0 compared"],
    );
    let repair = run(&variables, &["verify", "--repair", "--json"]);
    let lines: Vec<Value> = repair
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let difference = json!({"id": ids[1].to_string(), "differs_in": ["delivered_at"]});
    let result = json!({"compared": 3, "differ": 1, "repaired": 1, "finished": true});
    assert_eq!((repair.code, lines), (Some(0), vec![difference, result]));
    expect(&run(&variables, &["verify"]), 0, &["0 differ"]);
}

/// As the webhook keeps it, but not understood.
fn unparsable(message_id: &str, of: NotificationId) -> Incoming {
    let event = json!({
        "eventType": "Delivery",
        "mail": {"messageId": message_id, "tags": {"notification_id": [of.to_string()]}},
        "delivery": {"timestamp": "2027-01-01T09:00:00.000Z"},
    });
    let envelope = json!({
        "Type": "Notification", "MessageId": message_id, "Message": event.to_string(),
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:feedback",
        "Timestamp": "2027-01-01T09:00:00.000Z", "SignatureVersion": "2", "Signature": "eA==",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    });
    Incoming {
        kind: "unparsable".to_owned(),
        body: envelope.to_string().into(),
        report: None,
        ..incoming(message_id, None, None, Vec::new())
    }
}

async fn messages_are_listed_shown_and_applied_again(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 250]).await;
    let names: Vec<String> = (0..ids.len())
        .map(|i| format!("00000000-0000-4000-8000-{i:012}"))
        .collect();
    for (id, name) in ids.iter().zip(&names) {
        db.store.keep_feedback(unparsable(name, *id)).await.unwrap();
    }
    let variables = Variables::of(db);
    let listed = run(&variables, &["feedback", "list", "--result", "unparsable"]);
    expect(&listed, 0, &[&format!("sns:{}", names[0])]);
    assert_eq!(listed.out.lines().count(), ids.len());
    let name = format!("sns:{}", names[7]);
    let shown = run(&variables, &["feedback", "show", &name]);
    expect(&shown, 0, &["unparsable"]);
    let body: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(body["MessageId"], names[7]);
    expect(
        &run(&variables, &["feedback", "apply", &name]),
        0,
        &["applied, 1 new events"],
    );
    let some = ["feedback", "replay", "--source", "sqs", "--json"];
    expect(&run(&variables, &some), 0, &["\"messages\":0"]);
    expect(
        &run(&variables, &["feedback", "replay"]),
        0,
        &["250 messages: 249 new events, 250 applied"],
    );
    assert_eq!(db.count("delivery_events").await, ids.len());
    expect(
        &run(
            &variables,
            &["feedback", "replay", "--from", "2027-01-01T00:00:00Z"],
        ),
        0,
        &["250 messages: 0 new events, 250 applied"],
    );
    assert_eq!(db.count("delivery_events").await, ids.len());
    let listed = run(&variables, &["feedback", "list", "--result", "unparsable"]);
    assert_eq!(listed.out, "");
    expect(
        &run(&variables, &["verify"]),
        0,
        &["250 compared: 0 differ"],
    );
}

async fn what_is_typed_wrongly_is_explained(db: &TestDb) {
    let variables = Variables::of(db);
    for (arguments, words) in [
        (&["verify", "--from", "noon"][..], "--from"),
        (
            &[
                "verify",
                "--from",
                "2027-01-02T00:00:00Z",
                "--to",
                "2027-01-01T00:00:00Z",
            ],
            "--to",
        ),
        (&["feedback", "list", "--result", "lost"], "unmatched"),
        (&["feedback", "show", "sns:none"], "feedback list"),
        (&["feedback", "apply", "none"], "feedback list"),
        (&["feedback", "replay", "--to", "noon"], "--to"),
    ] {
        expect(&run(&variables, arguments), 1, &[words]);
    }
}
