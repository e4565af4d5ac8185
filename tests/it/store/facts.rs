//! The law of facts on a real database: whatever is written by whom in which order, the facts are
//! the fold of the ledger.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sendtrail::domain::event::{Bounce, Decision, Event, Failure, Severity, What};
use sendtrail::domain::facts::Facts;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::reason::Category;
use sendtrail::domain::time::Timestamp;
use sendtrail::store::Store;
use sendtrail::store::feedback::{Happening, Incoming};

use super::make::{BUSINESS, delivered, email, enqueued, happening, incoming};
use crate::support::db::{TestDb, both, on_postgres};

both! {
    many_writers_in_any_order_give_the_fold_of_the_ledger,
    one_writer_at_a_time_gives_the_fold_of_the_ledger,
}

fn failure(category: Category) -> Failure {
    Failure {
        category,
        code: Some("550 5.1.1".to_owned()),
        provider_text: Some(format!("words of {}", category.as_str())),
    }
}

fn bounce(severity: Severity, subtype: &str) -> What {
    What::Bounced(Bounce {
        severity,
        category: Category::MailboxFull,
        subtype: Some(subtype.to_owned()),
        status: Some("4.2.2".to_owned()),
        diagnostic: Some("smtp; 452 full".to_owned()),
    })
}

/// Every kind of event, with all that it can tell.
pub(super) fn one_of_each() -> Vec<What> {
    let text = |text: &str| Some(text.to_owned());
    vec![
        What::Accepted {
            provider: "ses".to_owned(),
            provider_message_id: text("p"),
            opens_tracked: true,
        },
        What::Rejected(failure(Category::ContentRejected)),
        What::Delivered {
            response: text("250 ok"),
        },
        What::Delayed {
            delay_type: text("MailboxFull"),
            diagnostic: text("later"),
        },
        bounce(Severity::Transient, "MailboxFull"),
        What::Complained {
            feedback_type: text("abuse"),
        },
        What::ComplaintWithdrawn,
        What::Decided {
            decision: Decision::GiveUp,
            staff_id: text("S-7"),
        },
        What::Opened {
            user_agent: text("Mozilla/5.0"),
            by_machine: true,
        },
        What::Clicked {
            link: text("https://example.com/?a=1&b=\"2\""),
            user_agent: text("Mail/1.0"),
        },
        What::Unsubscribed {
            how: text("one-click"),
        },
        What::Resubscribed,
        What::Undelivered(failure(Category::Unsubscribed)),
        What::GaveUp(failure(Category::Expired)),
    ]
}

fn any_what() -> impl Strategy<Value = What> {
    let mut all = one_of_each();
    all.extend([
        bounce(Severity::Permanent, "General"),
        bounce(Severity::Undetermined, "a"),
        bounce(Severity::Permanent, "b"),
        What::Opened {
            user_agent: None,
            by_machine: false,
        },
        What::Accepted {
            provider: "smtp".to_owned(),
            provider_message_id: None,
            opens_tracked: false,
        },
    ]);
    prop::sample::select(all)
}

/// Messages with events of few notifications, few keys and few instants, so that repetitions and
/// ties are common. A key always stands for the same happening.
fn messages(runner: &mut TestRunner, ids: &[NotificationId], start: Timestamp) -> Vec<Incoming> {
    const KEYS: usize = 14;
    let event = (any_what(), 0..4_u64);
    let events = prop::collection::vec(prop::collection::vec(event, KEYS), ids.len());
    let events = events.new_tree(runner).unwrap().current();
    let one = (0..ids.len(), prop::collection::vec(0..KEYS, 0..5));
    let told = prop::collection::vec(one, 60);
    let told = told.new_tree(runner).unwrap().current();
    let happening = |of: usize, key: usize| -> Happening {
        let (what, seconds) = &events[of][key];
        let at = start.plus(Duration::from_secs(*seconds));
        happening(u128::try_from(key).unwrap(), at, what.clone())
    };
    let messages = told.into_iter().enumerate().map(|(i, (of, keys))| {
        let happenings = keys.into_iter().map(|key| happening(of, key)).collect();
        incoming(&format!("m{i}"), Some(ids[of]), None, happenings)
    });
    let mut messages: Vec<Incoming> = messages.collect();
    messages.extend_from_within(..10);
    messages
}

async fn assert_facts_are_the_fold(db: &TestDb, ids: &[NotificationId]) -> usize {
    let mut events = 0;
    for entry in db.store.entries(BUSINESS, ids).await.unwrap() {
        let story = db.store.story(entry.id).await.unwrap();
        events += story.events.len();
        assert_eq!(
            entry.facts,
            Facts::fold(&story.events),
            "{:?}",
            story.events
        );
    }
    events
}

async fn many_writers_in_any_order_give_the_fold_of_the_ledger(db: &TestDb) {
    let mut runner = TestRunner::deterministic();
    let other = db.another_store().await;
    for _ in 0..8 {
        db.execute("DELETE FROM feedback_inbox").await;
        let ids = enqueued(&db.store, vec![email("C-1"); 6]).await;
        let messages = messages(&mut runner, &ids, db.clock.now());
        let writers = (0..6).map(|writer| {
            let store = if writer % 2 == 0 {
                db.store.clone()
            } else {
                other.clone()
            };
            let mut mine: Vec<Incoming> =
                messages.iter().skip(writer).step_by(2).cloned().collect();
            mine.rotate_left(writer * 3);
            tokio::spawn(tell(store, mine))
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let kept = assert_facts_are_the_fold(db, &ids).await;
        assert_eq!(kept, distinct(&messages), "each happening once");
    }
    other.close().await;
}

async fn tell(store: Store, messages: Vec<Incoming>) {
    for chunk in messages.chunks(4) {
        tell_at_once(store.clone(), chunk.to_vec()).await;
    }
}

/// How many different happenings the messages tell of.
fn distinct(messages: &[Incoming]) -> usize {
    let reports = messages
        .iter()
        .filter_map(|message| message.report.as_ref());
    let told = reports.flat_map(|report| {
        let happenings = report.happenings.iter();
        happenings.map(|h| (report.notification, h.key))
    });
    told.collect::<BTreeSet<_>>().len()
}

/// PostgreSQL finds two that wait for each other after a second and ends one of them, which then
/// begins again: nothing is lost, but a second is an age.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_facts_never_wait_for_each_other_in_a_circle() {
    on_postgres(async |db: &TestDb| {
        let stores = [
            db.store.clone(),
            db.another_store().await,
            db.another_store().await,
        ];
        for round in 0..20 {
            let ids = enqueued(&db.store, vec![email("C-1"); 24]).await;
            let known = ids.iter().step_by(2).map(|id| {
                let event = happening(0, db.clock.now(), delivered());
                incoming(&id.to_string(), Some(*id), None, vec![event])
            });
            tell_at_once(db.store.clone(), known.collect()).await;
            let writers = (0..6).map(|writer| {
                let messages = about_old_and_new(&ids, writer, round);
                tokio::spawn(tell_at_once(stores[writer % 3].clone(), messages))
            });
            for writer in writers.collect::<Vec<_>>() {
                writer.await.unwrap();
            }
            assert_facts_are_the_fold(db, &ids).await;
        }
        for store in stores {
            store.close().await;
        }
        let circles = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(db.texts(circles).await, ["0"]);
    })
    .await;
}

/// Each writer tells of all, in an order of its own: of those that have facts and those that have
/// none, here of an acceptance and there of an open.
fn about_old_and_new(ids: &[NotificationId], writer: usize, round: usize) -> Vec<Incoming> {
    let kinds = one_of_each();
    let told = (0..ids.len()).map(|i| {
        let id = ids[(i * 7 + writer * 5) % ids.len()];
        let kind = if (i + writer + round).is_multiple_of(3) {
            0
        } else {
            7
        };
        let key = u128::try_from(writer).unwrap() + 1;
        let event = happening(key, id.date(), kinds[kind].clone());
        incoming(&format!("{id} {writer}"), Some(id), None, vec![event])
    });
    told.collect()
}

async fn tell_at_once(store: Store, messages: Vec<Incoming>) {
    let calls = messages
        .into_iter()
        .map(|message| store.keep_feedback(message));
    for kept in futures_util::future::join_all(calls).await {
        kept.unwrap();
    }
}

async fn one_writer_at_a_time_gives_the_fold_of_the_ledger(db: &TestDb) {
    let mut runner = TestRunner::deterministic();
    let ids = enqueued(&db.store, vec![email("C-1"); 3]).await;
    let mut told: Vec<Event> = Vec::new();
    for message in messages(&mut runner, &ids, db.clock.now()) {
        let report = message.report.clone().unwrap();
        let kept = db.store.keep_feedback(message).await.unwrap();
        if kept == sendtrail::store::feedback::Kept::Duplicate {
            continue;
        }
        told.extend(report.happenings.into_iter().map(|h| Event {
            notification: report.notification.unwrap(),
            key: h.key,
            occurred_at: h.occurred_at,
            source: "ses".to_owned(),
            what: h.what,
        }));
        for id in &ids {
            let entry = db.store.entry(BUSINESS, *id).await.unwrap().unwrap();
            let mine = told.iter().filter(|event| event.notification == *id);
            assert_eq!(entry.facts, Facts::fold(mine));
        }
    }
    assert_facts_are_the_fold(db, &ids).await;
}
