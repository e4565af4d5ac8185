//! Counts of the flow: those of the ledger, whoever folds them, whatever is told again.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sendtrail::domain::event::{Bounce, Severity, What};
use sendtrail::domain::facts::Facts;
use sendtrail::domain::flow::{Flow, Kind, Range, Step, newly};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::domain::reason::Category;
use sendtrail::store::Store;
use sendtrail::store::flow::INSTALLATION;

use super::facts::one_of_each;
use super::make::{
    BUSINESS, claimed, delivered, done, email, enqueued, happening, incoming, keyed, nothing_left,
    of, sent, sms, tried,
};
use crate::support::db::{TestDb, both};

both! {
    counts_equal_a_recount_of_the_ledger,
    a_fold_that_does_not_commit_loses_nothing,
    what_commits_late_is_left_to_the_fold_of_all,
    a_fact_that_is_told_again_counts_once_and_a_bounce_can_become_final,
    feedback_is_counted_by_what_became_of_it,
    minutes_and_hours_are_pruned_and_days_stay,
    what_waits_is_told_by_lane_of_the_business_alone,
}

async fn fold(store: &Store) {
    while store.fold_flow().await.unwrap() {}
}

/// As where a transaction of an application with its own enqueue is open for hours.
async fn what_commits_late_is_left_to_the_fold_of_all(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1")]).await;
    let since = db.pass(Duration::from_mins(5));
    enqueued(&db.store, vec![email("C-1")]).await;
    assert_eq!(db.count("flow_increments").await, 2);
    assert!(!db.store.fold_flow_since(since).await.unwrap());
    assert_eq!(db.count("flow_increments").await, 1, "the late one");
    let seen = db.store.flow(BUSINESS, Range::ALL[0]).await.unwrap();
    assert_eq!(amounts(&seen), BTreeMap::from([("enqueued", 2)]), "both");
    fold(&db.store).await;
    assert_eq!(db.count("flow_increments").await, 0);
    let seen = db.store.flow(BUSINESS, Range::ALL[0]).await.unwrap();
    assert_eq!(amounts(&seen), BTreeMap::from([("enqueued", 2)]));
}

fn amounts(flow: &Flow) -> BTreeMap<&'static str, i64> {
    let all = Kind::ALL.map(|kind| (kind.as_str(), flow.total.of(kind)));
    all.into_iter().filter(|(_, amount)| *amount != 0).collect()
}

/// Counts anew from the ledger itself.
async fn recount(db: &TestDb, ids: &[NotificationId]) -> BTreeMap<&'static str, i64> {
    let mut counts = BTreeMap::from([("enqueued", i64::try_from(ids.len()).unwrap())]);
    for id in ids {
        let story = db.store.story(*id).await.unwrap();
        for kind in newly(&Facts::default(), &Facts::fold(&story.events)) {
            *counts.entry(kind.as_str()).or_default() += 1;
        }
    }
    counts
}

/// Random sends and feedback, with repetitions, by two programs that both fold.
async fn counts_equal_a_recount_of_the_ledger(db: &TestDb) {
    let mut runner = TestRunner::deterministic();
    let other = db.another_store().await;
    let mut ids = Vec::new();
    for round in 0..4_u32 {
        let new = enqueued(&db.store, vec![email("C-1"); 8]).await;
        // The same key again is the same notification.
        for _ in 0..2 {
            let key = format!("k{round}");
            let one = enqueued(&other, vec![keyed(email("C-2"), &key, 1)]).await;
            if !ids.contains(&one[0]) {
                ids.extend(one);
            }
        }
        let mut whats = one_of_each();
        whats.extend([bounce(Severity::Permanent), bounce(Severity::Transient)]);
        let told = (0..new.len(), 0..whats.len(), 0..6_u64);
        let told = prop::collection::vec(told, 60);
        let told = told.new_tree(&mut runner).unwrap().current();
        let messages = told.iter().enumerate().map(|(i, (of, what, seconds))| {
            let at = db.clock.now().plus(Duration::from_secs(*seconds));
            let key = u128::try_from(*what * 10).unwrap() + u128::from(*seconds);
            let happening = happening(key, at, whats[*what].clone());
            incoming(
                &format!("{round}-{i}"),
                Some(new[*of]),
                None,
                vec![happening],
            )
        });
        let messages: Vec<_> = messages.collect();
        let stores = [&db.store, &other];
        let sending = async {
            let claim = claimed(&db.store).await;
            let now = db.clock.now();
            let all = claim.jobs.iter();
            let all = all.map(|job| done(&claim, job, tried(now, "accepted"), sent("p")));
            let all: Vec<_> = all.collect();
            db.store.record(&all, &nothing_left(&claim)).await.unwrap();
        };
        let telling = messages.iter().enumerate().map(|(i, message)| async move {
            stores[i % 2].keep_feedback(message.clone()).await.unwrap();
        });
        let folding = stores.map(|store| async move {
            for _ in 0..20 {
                store.fold_flow().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        tokio::join!(
            sending,
            futures_util::future::join_all(telling),
            futures_util::future::join_all(folding),
        );
        ids.extend(new);
        db.pass(Duration::from_mins(7));
    }
    let expected = recount(db, &ids).await;
    let before = db.store.flow(BUSINESS, Range::Hour).await.unwrap();
    assert_eq!(amounts(&before), expected, "what is not folded is read too");
    fold(&other).await;
    for range in Range::ALL {
        let flow = other.flow(BUSINESS, range).await.unwrap();
        assert_eq!(amounts(&flow), expected, "{range:?}");
        assert_eq!(flow.total.to_send.total(), expected["sent"]);
    }
    assert_eq!(db.count("flow_increments").await, 0);
    other.close().await;
}

fn bounce(severity: Severity) -> What {
    What::Bounced(Bounce {
        severity,
        category: Category::MailboxFull,
        subtype: None,
        status: None,
        diagnostic: None,
    })
}

/// A process that is killed while it folds leaves its transaction uncommitted.
async fn a_fold_that_does_not_commit_loses_nothing(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); 3]).await;
    let mut dying = db.session().await;
    dying.execute("BEGIN").await;
    dying.execute("DELETE FROM flow_increments").await;
    drop(dying);
    fold(&db.store).await;
    fold(&db.store).await;
    let flow = db.store.flow(BUSINESS, Range::Day).await.unwrap();
    assert_eq!(amounts(&flow), BTreeMap::from([("enqueued", 3)]));
    for (seconds, amount) in [(0, 0), (60, 3), (60, 0)] {
        db.pass(Duration::from_secs(seconds));
        let minute = db.store.flow_of_last_minute(BUSINESS).await.unwrap();
        assert_eq!(minute.of(Kind::Enqueued), amount, "the last full one");
    }
}

async fn a_fact_that_is_told_again_counts_once_and_a_bounce_can_become_final(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.pass(Duration::from_secs(3));
    let steps = [
        bounce(Severity::Transient),
        delivered(),
        delivered(),
        bounce(Severity::Permanent),
        bounce(Severity::Permanent),
        What::Clicked {
            link: None,
            user_agent: None,
        },
        What::Opened {
            user_agent: None,
            by_machine: false,
        },
    ];
    for (key, what) in (1..).zip(steps) {
        let message = incoming(
            &format!("m{key}"),
            Some(id),
            None,
            vec![happening(key, now, what)],
        );
        db.store.keep_feedback(message).await.unwrap();
    }
    fold(&db.store).await;
    let flow = db.store.flow(BUSINESS, Range::Hour).await.unwrap();
    let expected = [
        ("bounced", 1),
        ("bounced_for_good", 1),
        ("clicked", 1),
        ("delivered", 1),
        ("enqueued", 1),
        ("opened", 1),
    ];
    assert_eq!(amounts(&flow), BTreeMap::from(expected));
    let took = flow.total.to_deliver.quantile(0.5).unwrap();
    assert!((1.5..6.0).contains(&took.as_secs_f64()), "{took:?}");
    let shares = db.store.flow_shares(BUSINESS, Range::Hour).await.unwrap();
    let share = shares.iter().find(|share| share.kind == Kind::Delivered);
    let share = share.unwrap();
    assert_eq!(
        (share.method, share.subject.as_str()),
        (Some(Method::Email), "ses")
    );
}

async fn feedback_is_counted_by_what_became_of_it(db: &TestDb) {
    let (store, now) = (&db.store, db.clock.now());
    let id = enqueued(store, vec![email("C-1")]).await[0];
    let known = incoming("m1", Some(id), None, vec![happening(1, now, delivered())]);
    let unknown = incoming("m2", None, Some("p"), vec![happening(2, now, delivered())]);
    for message in [known.clone(), unknown, known] {
        store.keep_feedback(message).await.unwrap();
    }
    let refused = BTreeMap::from([("signature", 5)]);
    store.count_refused(&refused).await.unwrap();
    fold(store).await;
    let flow = store.flow(INSTALLATION, Range::Hour).await.unwrap();
    let expected = [
        ("feedback_applied", 1),
        ("feedback_duplicate", 1),
        ("feedback_refused", 5),
        ("feedback_unmatched", 1),
    ];
    assert_eq!(amounts(&flow), BTreeMap::from(expected));
    let shares = store.flow_shares(INSTALLATION, Range::Hour).await.unwrap();
    let refused = shares.iter().find(|it| it.kind == Kind::FeedbackRefused);
    assert_eq!(refused.unwrap().subject, "signature");
}

async fn minutes_and_hours_are_pruned_and_days_stay(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1")]).await;
    fold(&db.store).await;
    let steps = "SELECT step_seconds FROM flow_counts ORDER BY step_seconds";
    assert_eq!(db.texts(steps).await, ["60", "3600", "86400"]);
    for left in [vec!["3600", "86400"], vec!["86400"]] {
        let step = if left.len() == 2 {
            Step::Minute
        } else {
            Step::Hour
        };
        let kept = step.kept().unwrap();
        db.pass(kept.saturating_sub(Duration::from_secs(1)));
        db.pass(Duration::from_secs(2));
        while db.store.prune_flow().await.unwrap() {}
        assert_eq!(db.texts(steps).await, left);
    }
}

async fn what_waits_is_told_by_lane_of_the_business_alone(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    let mut bulk = email("C-1");
    bulk.priority = Priority::Bulk;
    enqueued(
        &db.store,
        vec![email("C-1"), email("C-1"), bulk, sms("C-2")],
    )
    .await;
    of(&db.store, "other", vec![email("C-9")]).await;
    let depths = db.store.depth_of(BUSINESS).await.unwrap();
    let depths = depths
        .iter()
        .map(|it| (it.method.as_str(), it.priority.as_str(), it.waiting));
    let expected = [
        ("email", "normal", 2),
        ("email", "bulk", 1),
        ("sms", "normal", 1),
    ];
    assert_eq!(depths.collect::<Vec<_>>(), expected);
}

/// Every statement, for `plans`.
pub(super) async fn everything(db: &TestDb) {
    let refused = BTreeMap::from([("signature", 1)]);
    db.store.count_refused(&refused).await.unwrap();
    db.store.fold_flow().await.unwrap();
    db.store.prune_flow().await.unwrap();
    for range in Range::ALL {
        db.store.flow(BUSINESS, range).await.unwrap();
        db.store.flow_shares(BUSINESS, range).await.unwrap();
    }
    db.store.flow_of_last_minute(BUSINESS).await.unwrap();
    db.store.depth_of(BUSINESS).await.unwrap();
}
