//! Ten thousand notifications with what SES says of them: repeated, in both formats, in any order,
//! before and after their sends are recorded. What becomes of them is computed here a second time, from
//! the stories. `scripts/test` runs these apart from the rest, because they fill the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::time::Timestamp;
use sendtrail::feedback::{Parsed, parse, reader};
use sendtrail::store::Store;
use sendtrail::store::feedback::{Incoming, Kept};
use sendtrail::store::inbox::Wanted;
use sendtrail::store::verify::Span;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::queue::enqueue;
use crate::store::make::{done, incoming, nothing_left, sent, tried, wanted};
use crate::support::db::{TestDb, both};

both!(
    events_repeated_and_in_any_order_make_what_their_stories_say,
    events_before_their_sends_are_applied_with_them,
);

const COUNT: usize = 10_000;
/// Sends recorded at once.
const BATCH: usize = 500;
/// Messages under way at once.
const AT_ONCE: usize = 400;

/// A small generator (xorshift64*), so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        usize::try_from(high).unwrap() % sides
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.roll(last + 1));
        }
    }
}

fn provider_id(id: NotificationId) -> String {
    format!("ses-{id}")
}

/// What must be in the database: the statuses, the opens counted, the events of the ledger.
type Expected = (String, usize, usize);

struct Story {
    id: NotificationId,
    events: Vec<Value>,
    expected: Expected,
}

impl Story {
    fn of(id: NotificationId, start: Timestamp, dice: &mut Dice) -> Self {
        let opens = 1 + dice.roll(3);
        // What happens, in its order.
        let (happens, status): (Vec<&str>, &str) = match dice.roll(7) {
            0 => (vec!["Delivery"], "Unopened"),
            1 => ([vec!["Delivery"], vec!["Open"; opens]].concat(), "Opened"),
            2 => (vec!["Bounce"], "Bounced"),
            3 => (
                [vec!["Bounce"], vec!["Open"; opens]].concat(),
                "Bounced, Opened",
            ),
            4 => (
                [vec!["Open"; opens], vec!["Bounce"]].concat(),
                "Opened, Bounced",
            ),
            5 => (vec!["Delivery", "Complaint"], "Unopened"),
            _ => (vec![], "Sent"),
        };
        let opened = happens.iter().filter(|kind| **kind == "Open").count();
        let expected = (status.to_owned(), opened, 1 + happens.len());
        let mut events = Vec::new();
        for (kind, second) in happens.into_iter().zip(1_u64..) {
            let at = start.plus(Duration::from_secs(second)).to_string();
            let event = event(id, kind, &at, dice.roll(2) == 0);
            if kind != "Open" && dice.roll(2) == 0 {
                // The same happening in the other format.
                let mut other = event.clone();
                let word = other.as_object_mut().unwrap().remove("eventType").unwrap();
                other["notificationType"] = word;
                events.push(other);
            }
            events.push(event);
        }
        Self {
            id,
            events,
            expected,
        }
    }
}

fn event(id: NotificationId, kind: &str, at: &str, tagged: bool) -> Value {
    let mut event = json!({
        "eventType": kind,
        "mail": {"messageId": provider_id(id), "timestamp": at},
    });
    if tagged {
        event["mail"]["tags"] = json!({"notification_id": [id.to_string()]});
    }
    let of = json!([{"emailAddress": "ana@example.com", "action": "failed", "status": "5.1.1"}]);
    event[kind.to_lowercase()] = match kind {
        "Bounce" => json!({
            "bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": of,
            "timestamp": at, "feedbackId": format!("bounce of {id}"),
        }),
        "Complaint" => json!({
            "complainedRecipients": of, "complaintFeedbackType": "abuse", "timestamp": at,
            "feedbackId": format!("complaint of {id}"),
        }),
        _ => json!({"timestamp": at, "userAgent": "Mozilla/5.0 (X11)"}),
    };
    event
}

fn message(message_id: &str, event: &Value) -> Incoming {
    let text = event.to_string();
    let Parsed::Report { kind, report } = parse(&text, Timestamp::EPOCH) else {
        panic!("{text}")
    };
    Incoming {
        source: "sqs",
        kind,
        body: text.into(),
        report: Some(report),
        ..incoming(message_id, None, None, Vec::new())
    }
}

async fn keep(stores: [&Store; 2], messages: Vec<Incoming>) {
    let calls = messages.into_iter().enumerate().map(|(i, message)| {
        let store = stores[i % 2];
        async move { store.keep_feedback(message).await.unwrap() }
    });
    let kept = futures_util::stream::iter(calls).buffer_unordered(AT_ONCE);
    kept.for_each(|_| async {}).await;
}

/// Records that a batch of the notifications was sent; `None`: none is left.
async fn record(db: &TestDb) -> Option<Vec<NotificationId>> {
    let claim = db
        .store
        .claim(wanted(Method::Email, BATCH))
        .await
        .unwrap()?;
    let at = db.clock.now();
    let batch: Vec<_> = claim
        .jobs
        .iter()
        .map(|job| {
            let theirs = provider_id(job.job.id);
            done(&claim, job, tried(at, "accepted"), sent(&theirs))
        })
        .collect();
    db.store
        .record(&batch, &nothing_left(&claim))
        .await
        .unwrap();
    Some(claim.jobs.iter().map(|job| job.job.id).collect())
}

async fn found(db: &TestDb) -> BTreeMap<String, Expected> {
    let rows = db
        .rows(
            "SELECT CAST(h.id AS text), h.status, CAST(f.opened_count AS text), \
             CAST((SELECT COUNT(*) FROM delivery_events e WHERE e.notification_id = h.id) AS text) \
             FROM contact_history h JOIN delivery_facts f ON f.notification_id = h.id",
        )
        .await;
    let found = rows.into_iter().map(|row| {
        let [id, status, opened, events] = row.try_into().unwrap();
        let number = |text: Option<String>| text.unwrap().parse().unwrap();
        (
            id.unwrap(),
            (status.unwrap(), number(opened), number(events)),
        )
    });
    found.collect()
}

async fn agreeing(db: &TestDb) -> usize {
    let mut span = Span {
        after: NotificationId::new(Uuid::nil()),
        below: NotificationId::new(Uuid::max()),
    };
    let mut compared = 0;
    loop {
        let verified = db.store.verify(span, 1_000).await.unwrap();
        assert_eq!(verified.differences, []);
        compared += verified.count;
        match verified.last {
            Some(last) => span.after = last,
            None => return compared,
        }
    }
}

/// What repeats an event that waits in another message is found applied when it is looked at again.
async fn applied_again(db: &TestDb) {
    let reader = reader(true, crate::support::api::trust());
    let wanted = Wanted {
        result: Some("unmatched"),
        limit: BATCH,
        ..Wanted::default()
    };
    loop {
        let page = db.store.whole_feedback_messages(&wanted).await.unwrap();
        if page.is_empty() {
            return;
        }
        let read = page.into_iter().map(|message| {
            let reading = reader.read(&message).unwrap();
            (message, reading)
        });
        let batch: Vec<_> = read.collect();
        for kept in db.store.reapply(&batch).await.unwrap() {
            assert_eq!(kept, Kept::Applied { new_events: 0 });
        }
    }
}

async fn ids(db: &TestDb) -> Vec<NotificationId> {
    let ids = enqueue(db, COUNT).await;
    ids.iter()
        .map(|id| NotificationId::parse(id).unwrap())
        .collect()
}

async fn events_repeated_and_in_any_order_make_what_their_stories_say(db: &TestDb) {
    let seed: u64 = rand::random::<u64>() | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let (ids, start) = (ids(db).await, db.clock.now());
    let stories: Vec<Story> = ids
        .into_iter()
        .map(|id| Story::of(id, start, &mut dice))
        .collect();
    let mut messages = Vec::new();
    for event in stories.iter().flat_map(|story| &story.events) {
        // In up to three envelopes, each of which may come twice.
        for _ in 0..=dice.roll(3) {
            let message = message(&format!("m-{}", messages.len()), event);
            if dice.roll(4) == 0 {
                messages.push(message.clone());
            }
            messages.push(message);
        }
    }
    dice.shuffle(&mut messages);
    let late = messages.split_off(messages.len() * 2 / 5);
    let other = db.another_store().await;
    keep([&db.store, &other], messages).await;
    tokio::join!(keep([&db.store, &other], late), async {
        while record(db).await.is_some() {}
    });
    // What crossed its send.
    db.store
        .sweep_unmatched(&mut sendtrail::store::unmatched::Sweep::default())
        .await
        .unwrap();
    assert_eq!(db.count("unmatched_events").await, 0);
    applied_again(db).await;
    let results = "SELECT DISTINCT result FROM feedback_inbox";
    assert_eq!(db.texts(results).await, ["applied"]);
    let found = found(db).await;
    assert_eq!(found.len(), COUNT);
    for story in stories {
        assert_eq!(found[&story.id.to_string()], story.expected, "{}", story.id);
    }
    assert_eq!(agreeing(db).await, COUNT);
    other.close().await;
}

async fn events_before_their_sends_are_applied_with_them(db: &TestDb) {
    let (ids, at) = (ids(db).await, db.clock.now().to_string());
    let early = ids.iter().map(|id| {
        let event = event(*id, "Delivery", &at, false);
        message(&id.to_string(), &event)
    });
    let other = db.another_store().await;
    keep([&db.store, &other], early.collect()).await;
    other.close().await;
    assert_eq!(db.count("unmatched_events").await, COUNT);
    let mut applied = 0;
    while let Some(batch) = record(db).await {
        let recorded = Instant::now();
        applied += batch.len();
        let delivered = db
            .count("delivery_facts WHERE delivered_at IS NOT NULL")
            .await;
        assert_eq!(delivered, applied, "not applied with their sends");
        let within = recorded.elapsed();
        assert!(within < Duration::from_secs(1), "{within:?}");
    }
    assert_eq!(applied, COUNT);
    assert_eq!(db.count("unmatched_events").await, 0);
    assert_eq!(agreeing(db).await, COUNT);
}
