//! A commit whose answer was lost: the worker records the same batch again, while others work on with
//! what the first commit put back.

use std::time::Duration;

use sendtrail::domain::method::Method;
use sendtrail::store::record::{Left, Then};

use super::make::{claimed, done, email, enqueued, nothing_left, tried, wanted};
use crate::support::db::{TestDb, both};

both! {
    what_was_put_back_and_claimed_by_another_is_not_put_back_again,
    what_was_put_back_and_waits_stays_as_it_is,
    a_claim_that_has_ended_puts_nothing_back,
}

async fn what_was_put_back_and_claimed_by_another_is_not_put_back_again(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); 3]).await;
    let now = db.clock.now();
    let mine = claimed(&db.store).await;
    let again = || Then::Again { due_at: now };
    let batch = [
        done(&mine, &mine.jobs[0], tried(now, "try_later"), again()),
        // Released without an attempt.
        done(&mine, &mine.jobs[1], None, again()),
    ];
    // The third is still being sent, so the claim stands.
    let left = [Left {
        claim: mine.id,
        jobs: vec![mine.jobs[2].job],
        rewrite: true,
    }];
    db.store.record(&batch, &left).await.unwrap();
    let theirs = claimed(&db.store).await;
    assert_eq!(theirs.jobs.len(), 2);
    assert_eq!(db.store.record(&batch, &left).await.unwrap(), 0);
    assert_eq!(db.count("jobs").await, 0, "they are in another's hands");
    assert_eq!(db.count("claims").await, 2);
    assert_eq!(db.count("delivery_attempts").await, 1);
}

async fn what_was_put_back_and_waits_stays_as_it_is(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); 2]).await;
    let due_at = db.clock.now().plus(Duration::from_mins(5));
    let claim = claimed(&db.store).await;
    let again = || Then::Again { due_at };
    let batch = [
        done(
            &claim,
            &claim.jobs[0],
            tried(db.clock.now(), "unknown"),
            again(),
        ),
        done(&claim, &claim.jobs[1], None, again()),
    ];
    for _ in 0..3 {
        let left = Left {
            claim: claim.id,
            jobs: Vec::new(),
            rewrite: true,
        };
        db.store.record(&batch, &[left]).await.unwrap();
        assert_eq!(db.count("jobs").await, 2);
        assert_eq!(db.count("delivery_attempts").await, 1);
    }
    db.clock.set(due_at);
    let next = claimed(&db.store).await;
    let attempts = next.jobs.iter().map(|claimed| claimed.job.attempts);
    assert_eq!(attempts.sum::<u32>(), 1);
}

async fn a_claim_that_has_ended_puts_nothing_back(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); 2]).await;
    let now = db.clock.now();
    let claim = claimed(&db.store).await;
    let jobs = claim.jobs.iter();
    let released = jobs.map(|job| done(&claim, job, None, Then::Again { due_at: now }));
    let batch: Vec<_> = released.collect();
    let left = nothing_left(&claim);
    assert_eq!(db.store.record(&batch, &left).await.unwrap(), 0);
    let taken = db.store.claim(wanted(Method::Email, 10)).await.unwrap();
    assert_eq!(taken.unwrap().jobs.len(), 2);
    db.store.record(&batch, &left).await.unwrap();
    assert_eq!(db.count("jobs").await, 0);
}
