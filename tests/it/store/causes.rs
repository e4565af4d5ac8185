//! Failures by their causes: grouped, resolved, dismissed, filtered, and those from before there were causes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sendtrail::domain::event::{Bounce, Failure, Severity, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::reason::Category;
use sendtrail::domain::role::Sight;
use sendtrail::store::browse::{Browse, Position, Reach, Sort};
use sendtrail::store::cause_actions::{Did, Kinds};
use sendtrail::store::cause_past::Past;
use sendtrail::store::enqueue::NewNotification;
use sendtrail::store::failures::{Asked, Group, State};
use sendtrail::store::history::Filter;
use sendtrail::store::resend_runs::{NO_ACCOUNT, NewRun};
use uuid::Uuid;

use super::make::{BUSINESS, delivered, email, enqueued, happening, incoming, of};
use crate::support::db::{TestDb, both};

both! {
    four_hundred_failures_told_by_many_at_once_are_three_causes,
    what_arrives_or_is_sent_again_is_open_no_more,
    a_dismissed_cause_is_open_again_when_it_is_seen_again,
    causes_choose_entries_of_the_history_page_by_page,
    what_was_settled_before_is_left_out_and_what_is_sent_again_from_then_on_is_not,
    what_failed_before_there_were_causes_is_taken_in_once,
}

const HOUR: Duration = Duration::from_hours(1);

pub(super) fn bounced(text: String) -> What {
    What::Bounced(Bounce {
        severity: Severity::Transient,
        category: Category::MailboxFull,
        subtype: None,
        status: None,
        diagnostic: Some(text),
    })
}

pub(super) fn given_up(text: String) -> What {
    What::GaveUp(Failure {
        category: Category::ProviderUnavailable,
        code: Some("421".to_owned()),
        provider_text: Some(text),
    })
}

/// Feedback says this of a message now.
pub(super) async fn tell(db: &TestDb, key: u128, id: NotificationId, what: What) {
    let told = happening(key, db.clock.now(), what);
    let message = incoming(&format!("m{key}"), Some(id), None, vec![told]);
    db.store.keep_feedback(message).await.unwrap();
}

/// All that failed in the last two hours.
pub(super) async fn groups(db: &TestDb, business: &str) -> Vec<Group> {
    let now = db.clock.now();
    let asked = Asked::all(now.minus(HOUR * 2), now.plus(HOUR));
    db.store.failures(business, &asked).await.unwrap().groups
}

async fn only(db: &TestDb) -> Group {
    let mut groups = groups(db, BUSINESS).await;
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

fn open(group: &Group) -> i64 {
    group.count - group.resolved
}

async fn four_hundred_failures_told_by_many_at_once_are_three_causes(db: &TestDb) {
    const COUNT: usize = 400;
    let mails = (0..COUNT).map(|n| email(&format!("C-{n}"))).collect();
    let ids = enqueued(&db.store, mails).await;
    let other = db.another_store().await;
    let now = db.clock.now();
    let told = ids.iter().enumerate().map(|(n, id)| {
        let what = match n % 3 {
            0 => bounced(format!(
                "552 5.2.2 <c-{n}@example.com> mailbox full ({n} messages)"
            )),
            1 => bounced(format!("552 c-{n} is over quota, session {n:x}a-{n}")),
            _ => {
                let second = n % 60;
                given_up(format!(
                    "421 4.7.0 c-{n}@example.com: try after 10:15:{second:02}"
                ))
            }
        };
        let key = u128::try_from(n).unwrap();
        let mut happened = vec![happening(key, now, what)];
        if n % 10 == 0 {
            happened.push(happening(key + 1_000, now.plus(HOUR), delivered()));
        }
        let message = incoming(&format!("m{n}"), Some(*id), None, happened);
        // By two programs, each of which commits several batches at once.
        let store = if n % 2 == 0 { &db.store } else { &other };
        store.keep_feedback(message)
    });
    for kept in join_all(told).await {
        kept.unwrap();
    }
    let asked = Asked::all(now.minus(HOUR), now.plus(HOUR));
    let found = db.store.failures(BUSINESS, &asked).await.unwrap();
    let counts: Vec<i64> = found.groups.iter().map(|group| group.count).collect();
    assert_eq!((counts, found.failed), (vec![134, 133, 133], 400));
    let resolved: i64 = found.groups.iter().map(|group| group.resolved).sum();
    assert_eq!((resolved, found.looked_at, found.more), (40, COUNT, false));
    for group in &found.groups {
        let text = &group.cause.text;
        assert!(!text.contains("c-") && !text.contains("example"), "{text}");
        assert_eq!(group.state(), State::Open);
        assert_eq!(
            (group.first_at, group.last_at, group.since),
            (now, now, now)
        );
        assert_eq!(group.samples.len(), 5);
        let told: i64 = group.trend.points.iter().map(|(_, count)| count).sum();
        assert_eq!((told, group.trend.by_day), (group.count, false));
    }
    assert!(groups(db, "other").await.is_empty());
    // What is told again counts once.
    let again = happening(0, now, bounced("552 another text".to_owned()));
    let again = incoming("again", Some(ids[0]), None, vec![again]);
    db.store.keep_feedback(again).await.unwrap();
    assert_eq!(groups(db, BUSINESS).await.len(), 3);
    let of_sms = Asked {
        method: Some(Method::Sms),
        ..asked.clone()
    };
    let none = db.store.failures(BUSINESS, &of_sms).await.unwrap();
    assert_eq!((none.groups.len(), none.failed), (0, 400));
    let long = Asked::all(now.minus(HOUR * 24 * 60), now.plus(HOUR));
    let long = db.store.failures(BUSINESS, &long).await.unwrap();
    let trend = &long.groups[0].trend;
    assert_eq!((trend.by_day, trend.points.len()), (true, 30));
    assert_eq!(trend.points[29].1, 134);
    other.close().await;
}

async fn what_arrives_or_is_sent_again_is_open_no_more(db: &TestDb) {
    let ids = enqueued(&db.store, (0..6).map(|_| email("C-1")).collect()).await;
    // It was given up and arrived; and the other way round.
    tell(db, 1, ids[0], given_up("lost".to_owned())).await;
    assert_eq!(open(&only(db).await), 1);
    tell(db, 2, ids[0], delivered()).await;
    tell(db, 3, ids[1], delivered()).await;
    tell(db, 4, ids[1], given_up("lost".to_owned())).await;
    let group = only(db).await;
    assert_eq!((group.count, open(&group)), (2, 0));
    assert_eq!(group.state(), State::Resolved);
    // What was delivered came back; what came back was delivered later.
    tell(db, 5, ids[2], delivered()).await;
    db.pass(Duration::from_secs(1));
    for (key, id) in [(6, ids[2]), (7, ids[3]), (8, ids[4])] {
        tell(db, key, id, bounced("full".to_owned())).await;
    }
    db.pass(Duration::from_secs(1));
    tell(db, 9, ids[3], delivered()).await;
    let full = async || {
        let groups = groups(db, BUSINESS).await;
        groups.into_iter().find(|it| it.cause.bounced).unwrap()
    };
    let group = full().await;
    assert_eq!((group.count, open(&group)), (3, 2));
    // Sent again: once it is marked, and twice is once.
    for _ in 0..2 {
        let again = NewNotification {
            resend_of: Some(ids[4]),
            ..email("C-1")
        };
        enqueued(&db.store, vec![again]).await;
    }
    assert_eq!(db.store.mark_resent(10).await.unwrap(), 2);
    assert_eq!(db.store.mark_resent(10).await.unwrap(), 0);
    assert_eq!(open(&full().await), 1);
    // What comes back after it was sent again is not open either.
    let again = NewNotification {
        resend_of: Some(ids[5]),
        ..email("C-1")
    };
    enqueued(&db.store, vec![again]).await;
    tell(db, 10, ids[5], bounced("full".to_owned())).await;
    let group = full().await;
    assert_eq!((group.count, open(&group)), (4, 1));
    let cases = db.store.cause_entries(BUSINESS, group.id, None, 10).await;
    let cases = cases.unwrap();
    let marks: Vec<(bool, bool)> = cases
        .iter()
        .map(|case| (case.arrived_at.is_some(), case.sent_again_at.is_some()))
        .collect();
    assert_eq!(
        marks,
        [(false, true), (false, true), (true, false), (false, false)]
    );
    let after = Some(cases[1].id);
    let rest = db.store.cause_entries(BUSINESS, group.id, after, 10).await;
    assert_eq!(rest.unwrap(), cases[2..]);
    let foreign = db.store.cause_entries("other", group.id, None, 10).await;
    assert!(foreign.unwrap().is_empty());
}

async fn a_dismissed_cause_is_open_again_when_it_is_seen_again(db: &TestDb) {
    let store = &db.store;
    store.ensure_business("other", "Other").await.unwrap();
    let theirs = of(store, "other", vec![email("C-1")]).await[0];
    tell(db, 1, theirs, bounced("full".to_owned())).await;
    let theirs = groups(db, "other").await.remove(0).id;
    let ids = enqueued(store, vec![email("C-1"), email("C-2")]).await;
    tell(db, 2, ids[0], bounced("full".to_owned())).await;
    let id = only(db).await.id;
    assert_ne!(id, theirs, "businesses share no cause");
    let causes = [id, theirs, Uuid::from_u128(7)];
    let dismissed = store
        .dismiss_causes(BUSINESS, &causes, "Ana", "known")
        .await;
    assert_eq!(dismissed.unwrap(), [id]);
    let (group, now) = (only(db).await, db.clock.now());
    assert_eq!(group.state(), State::Dismissed);
    assert_eq!(group.dismissed, Some((now, "Ana".to_owned())));
    let shown = async |open| {
        let asked = Asked {
            open: Some(open),
            ..Asked::all(now.minus(HOUR), now.plus(HOUR))
        };
        store.failures(BUSINESS, &asked).await.unwrap().groups.len()
    };
    assert_eq!((shown(true).await, shown(false).await), (0, 1));
    assert_eq!(store.own_causes(BUSINESS, &causes).await.unwrap(), [id]);
    let all = Kinds::default();
    assert!(
        store
            .causes_of(BUSINESS, &all, 10)
            .await
            .unwrap()
            .is_empty()
    );
    // The same again, told once more, opens nothing; another message does.
    tell(db, 2, ids[0], bounced("full".to_owned())).await;
    assert_eq!(only(db).await.state(), State::Dismissed);
    tell(db, 3, ids[1], bounced("full".to_owned())).await;
    let group = only(db).await;
    assert_eq!((group.state(), group.count), (State::Open, 2));
    let kinds = Kinds {
        method: Some(Method::Email),
        category: Some(Category::MailboxFull),
        provider: None,
    };
    assert_eq!(store.causes_of(BUSINESS, &kinds, 10).await.unwrap(), [id]);
    let run = begin(db, id).await;
    let actions = store.cause_actions(BUSINESS, id, 10).await.unwrap();
    let what: Vec<Did> = actions.into_iter().map(|action| action.what).collect();
    let note = "known".to_owned();
    let resent = Did::Resent { run, sent: Some(0) };
    assert_eq!(what, [resent, Did::Dismissed { note }]);
    assert!(
        store
            .cause_actions("other", id, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let known = store.cause(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!((known.count, known.resolved), (2, 0));
    assert!(store.cause("other", id).await.unwrap().is_none());
}

/// Asks twice for a run over a cause.
async fn begin(db: &TestDb, cause: Uuid) -> Uuid {
    let id = Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0001);
    for _ in 0..2 {
        let new = NewRun {
            id,
            business: BUSINESS,
            account: NO_ACCOUNT,
            staff_id: "",
            filter: serde_json::json!({"by": "API key console"}),
            total: 2,
            causes: &[cause],
            by: "API key console",
        };
        db.store.begin_resend_run(new).await.unwrap();
    }
    let run = db.store.resend_run(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(run.user, "API key console");
    id
}

/// Twelve messages: six of one cause, three of another; and these two causes.
async fn of_two_causes(db: &TestDb) -> (Vec<NotificationId>, Vec<Uuid>) {
    let ids = enqueued(&db.store, (0..12).map(|_| email("C-1")).collect()).await;
    for (n, id) in ids.iter().enumerate() {
        let text = ["full", "full", "over quota"].get(n % 4);
        if let Some(text) = text {
            let key = u128::try_from(n).unwrap();
            tell(db, key, *id, bounced((*text).to_owned())).await;
        }
    }
    let groups = groups(db, BUSINESS).await;
    assert_eq!(groups.iter().map(|it| it.count).collect::<Vec<_>>(), [6, 3]);
    (ids, groups.iter().map(|group| group.id).collect())
}

/// Some of them, the newest first.
fn chosen(ids: &[NotificationId], numbers: &[usize]) -> Vec<NotificationId> {
    numbers.iter().rev().map(|n| ids[*n]).collect()
}

fn by_cause(causes: &[Uuid], limit: usize) -> Browse {
    Browse {
        filter: Filter {
            causes: causes.to_vec(),
            limit,
            ..Filter::default()
        },
        ..Browse::default()
    }
}

async fn found(db: &TestDb, browse: &Browse) -> Vec<NotificationId> {
    let page = db.store.browse(BUSINESS, browse).await.unwrap();
    page.entries.iter().map(|entry| entry.id).collect()
}

async fn causes_choose_entries_of_the_history_page_by_page(db: &TestDb) {
    let (ids, causes) = of_two_causes(db).await;
    let store = &db.store;
    let mut pages = by_cause(&causes[..1], 4);
    let mut seen = Vec::new();
    for length in [4, 2] {
        let page = store.browse(BUSINESS, &pages).await.unwrap();
        assert_eq!(page.entries.len(), length);
        seen.extend(page.entries.iter().map(|entry| entry.id));
        pages.after = page.next;
    }
    assert!(pages.after.is_none());
    assert_eq!(seen, chosen(&ids, &[0, 1, 4, 5, 8, 9]));
    let both = by_cause(&causes, 50);
    let all = chosen(&ids, &[0, 1, 2, 4, 5, 6, 8, 9, 10]);
    assert_eq!(found(db, &both).await, all);
    let oldest = Browse {
        sort: Sort {
            descending: false,
            ..Sort::default()
        },
        ..both.clone()
    };
    assert_eq!(found(db, &oldest).await[0], ids[0]);
    let counts = store.count_statuses(BUSINESS, &both.filter, Reach::default());
    assert_eq!(counts.await.unwrap().entries, 9);
    // Of another business, or of nobody, or out of sight.
    for (business, causes, sight) in [
        ("other", &causes[..], Sight::All),
        (BUSINESS, &[Uuid::nil()][..], Sight::All),
        (BUSINESS, &causes[..], Sight::Own("S-1".to_owned())),
    ] {
        let mut none = by_cause(causes, 10);
        none.filter.sight = sight;
        let page = store.browse(business, &none).await.unwrap();
        assert!(page.entries.is_empty() && page.next.is_none());
    }
}

async fn what_was_settled_before_is_left_out_and_what_is_sent_again_from_then_on_is_not(
    db: &TestDb,
) {
    let (ids, causes) = of_two_causes(db).await;
    let again = NewNotification {
        resend_of: Some(ids[0]),
        ..email("C-1")
    };
    enqueued(&db.store, vec![again]).await;
    db.pass(Duration::from_secs(1));
    db.store.mark_resent(10).await.unwrap();
    tell(db, 101, ids[4], delivered()).await;
    let before = db.clock.now().minus(HOUR);
    for (at, expected) in [
        (db.clock.now(), chosen(&ids, &[1, 5, 8, 9])),
        (before, chosen(&ids, &[0, 1, 5, 8, 9])),
    ] {
        let mut open = by_cause(&causes[..1], 10);
        open.filter.open_at = Some(at);
        assert_eq!(found(db, &open).await, expected);
    }
}

async fn what_failed_before_there_were_causes_is_taken_in_once(db: &TestDb) {
    let ids = enqueued(&db.store, (0..7).map(|_| email("C-1")).collect()).await;
    for (n, id) in ids.iter().enumerate() {
        let key = u128::try_from(n).unwrap();
        let taken = What::Accepted {
            provider: "ses".to_owned(),
            provider_message_id: None,
            opens_tracked: false,
        };
        tell(db, key + 100, *id, taken).await;
        let what = match n % 3 {
            0 => bounced(format!("552 full {n}")),
            1 => given_up(format!("421 lost {n}")),
            _ => delivered(),
        };
        tell(db, key, *id, what).await;
        db.pass(Duration::from_secs(1));
    }
    tell(db, 50, ids[1], delivered()).await;
    let again = NewNotification {
        resend_of: Some(ids[0]),
        ..email("C-1")
    };
    enqueued(&db.store, vec![again]).await;
    db.store.mark_resent(10).await.unwrap();
    let summary = async || {
        let groups = groups(db, BUSINESS).await;
        let of = |it: &Group| (it.id, it.count, it.resolved, it.since);
        groups.iter().map(of).collect::<BTreeSet<_>>()
    };
    let known = summary().await;
    assert_eq!(known.len(), 2);
    for table in ["failure_causes", "cause_entries", "cause_counts"] {
        db.execute(&format!("DELETE FROM {table}")).await;
    }
    // One is told of meanwhile.
    tell(db, 51, ids[6], bounced("552 full 6".to_owned())).await;
    let mut rounds = 0;
    while db.store.take_in_past(2).await.unwrap() == Past::More {
        rounds += 1;
        assert!(rounds < 10, "it does not end");
    }
    assert!(rounds >= 3, "a batch at a time");
    assert_eq!(summary().await, known);
    let past = db.store.take_in_past(2).await.unwrap();
    assert!(matches!(past, Past::Later(_)), "{past:?}");
    assert_eq!(summary().await, known, "once");
}

/// Every function here, for the plans.
pub(super) async fn everything(db: &TestDb) {
    let (store, now) = (&db.store, db.clock.now());
    let ids = enqueued(store, vec![email("C-1"), email("C-2")]).await;
    tell(db, 9_001, ids[0], bounced("full".to_owned())).await;
    tell(db, 9_002, ids[0], delivered()).await;
    let again = NewNotification {
        resend_of: Some(ids[0]),
        ..email("C-1")
    };
    enqueued(store, vec![again]).await;
    store.mark_resent(10).await.unwrap();
    store.take_in_past(10).await.unwrap();
    let cause = groups(db, BUSINESS).await[0].id;
    let asked = Asked {
        open: Some(false),
        method: Some(Method::Email),
        provider: Some("ses".to_owned()),
        cause: Some(cause),
        ..Asked::all(now.minus(HOUR), now)
    };
    store.failures(BUSINESS, &asked).await.unwrap();
    store.cause(BUSINESS, cause).await.unwrap();
    for after in [None, Some(ids[0])] {
        let entries = store.cause_entries(BUSINESS, cause, after, 10).await;
        entries.unwrap();
        let order = Browse {
            filter: Filter {
                causes: vec![cause, Uuid::nil()],
                from: Some(now.minus(HOUR)),
                to: Some(now),
                limit: 10,
                ..Filter::default()
            },
            after: after.map(Position::of),
            ..Browse::default()
        };
        store.browse(BUSINESS, &order).await.unwrap();
    }
    store.cause_actions(BUSINESS, cause, 10).await.unwrap();
    store.own_causes(BUSINESS, &[cause]).await.unwrap();
    let kinds = Kinds {
        method: Some(Method::Email),
        provider: Some("ses".to_owned()),
        category: Some(Category::MailboxFull),
    };
    store.causes_of(BUSINESS, &kinds, 10).await.unwrap();
    let causes = [cause];
    let dismissed = store.dismiss_causes(BUSINESS, &causes, "Ana", "known");
    dismissed.await.unwrap();
    tell(db, 9_003, ids[1], bounced("full".to_owned())).await;
}
