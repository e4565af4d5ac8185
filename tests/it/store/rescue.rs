//! Dead workers: their jobs come back as attempts of unknown outcome, and they can erase nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::domain::event::{EventKey, Failure};
use sendtrail::domain::method::Method;
use sendtrail::domain::reason::Category;
use sendtrail::domain::status::Status;
use sendtrail::store::claims::Rescued;
use sendtrail::store::record::{Left, Then};

use super::make::{
    BUSINESS, LEASE, claimed, delivered, done, email, enqueued, happening, incoming, lost,
    nothing_left, rescue, sent, tried, wanted,
};
use crate::support::db::{TestDb, both};

both! {
    a_claim_with_a_sign_of_life_is_left_alone,
    jobs_of_a_dead_claim_come_back_as_unknown_after_the_grace,
    jobs_with_an_outcome_do_not_come_back,
    a_dead_worker_that_wakes_up_erases_nothing,
    an_acceptance_learnt_too_late_is_added_all_the_same,
    feedback_during_the_grace_settles_an_unknown_attempt,
    concurrent_rescuers_bring_each_job_back_once,
}

const GRACE: Duration = Duration::from_mins(10);
const A_MOMENT: Duration = Duration::from_millis(1);

async fn a_claim_with_a_sign_of_life_is_left_alone(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1")]).await;
    let claim = claimed(&db.store).await;
    let seen = db.store.pulses().await.unwrap();
    assert_eq!(db.store.beat(&[claim.id]).await.unwrap(), [claim.id]);
    // However late it is by any clock.
    db.pass(LEASE * 100);
    let rescued = db.store.rescue(&seen, lost(GRACE)).await.unwrap();
    assert_eq!(rescued, Rescued::default());
    assert_eq!((db.count("claims").await, db.count("jobs").await), (1, 0));
}

async fn jobs_of_a_dead_claim_come_back_as_unknown_after_the_grace(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 2]).await;
    let claimed_at = db.clock.now();
    claimed(&db.store).await;
    let now = db.pass(LEASE);
    assert_eq!(rescue(&db.store, GRACE).await, 2);
    assert_eq!(db.count("claims").await, 0);
    for id in &ids {
        let story = db.store.story(*id).await.unwrap();
        let [attempt] = story.attempts.as_slice() else {
            panic!("{story:?}");
        };
        assert_eq!((attempt.number, attempt.outcome.as_str()), (1, "unknown"));
        assert_eq!(attempt.provider, "ses");
        assert_eq!((attempt.started_at, attempt.finished_at), (claimed_at, now));
        assert_eq!(attempt.next_at, Some(now.plus(GRACE)));
        assert_eq!(story.next_due_at, Some(now.plus(GRACE)));
        assert!(story.events.is_empty(), "nobody observed a failure");
        let entry = db.store.entry(BUSINESS, *id).await.unwrap().unwrap();
        assert_eq!(entry.statuses(), [Status::AwaitingSend]);
    }
    assert!(
        db.store
            .claim(wanted(Method::Email, 10))
            .await
            .unwrap()
            .is_none()
    );
    db.pass(GRACE);
    let claim = claimed(&db.store).await;
    let counts = claim
        .jobs
        .iter()
        .map(|c| (c.job.attempts, c.job.failures, c.has_gone));
    assert_eq!(counts.collect::<Vec<_>>(), [(1, 1, false); 2]);
}

async fn jobs_with_an_outcome_do_not_come_back(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 4]).await;
    let claim = claimed(&db.store).await;
    let now = db.clock.now();
    let due_at = now.plus(Duration::from_secs(5));
    let refused = Failure {
        category: Category::ContentRejected,
        code: None,
        provider_text: None,
    };
    let batch = [
        done(&claim, &claim.jobs[0], tried(now, "accepted"), sent("p")),
        done(
            &claim,
            &claim.jobs[1],
            tried(now, "rejected"),
            Then::Rejected(refused),
        ),
        done(
            &claim,
            &claim.jobs[2],
            tried(now, "try_later"),
            Then::Again { due_at },
        ),
    ];
    let left = Left {
        claim: claim.id,
        jobs: vec![claim.jobs[3].job],
        rewrite: false,
    };
    db.store.record(&batch, &[left]).await.unwrap();
    assert_eq!(rescue(&db.store, GRACE).await, 1);
    let unknown = "SELECT notification_id FROM delivery_attempts WHERE outcome = 'unknown'";
    assert_eq!(db.texts(unknown).await, [ids[3].to_string()]);
    let waiting = db.texts("SELECT id FROM jobs ORDER BY id").await;
    assert_eq!(waiting, [ids[2].to_string(), ids[3].to_string()]);
    assert_eq!(
        db.store.story(ids[2]).await.unwrap().next_due_at,
        Some(due_at)
    );
}

async fn a_dead_worker_that_wakes_up_erases_nothing(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 3]).await;
    let old = claimed(&db.store).await;
    rescue(&db.store, Duration::ZERO).await;
    let new = claimed(&db.store).await;
    let now = db.pass(A_MOMENT);
    let failure = Failure {
        category: Category::InvalidAddress,
        code: Some("550".to_owned()),
        provider_text: None,
    };
    let late = [
        done(
            &old,
            &old.jobs[0],
            tried(now, "rejected"),
            Then::Rejected(failure.clone()),
        ),
        done(
            &old,
            &old.jobs[1],
            tried(now, "try_later"),
            Then::Again { due_at: now },
        ),
        done(&old, &old.jobs[2], None, Then::GaveUp(failure)),
    ];
    assert_eq!(
        db.store.record(&late, &nothing_left(&old)).await.unwrap(),
        3
    );
    assert_eq!(db.count("claims").await, 1, "the successor's");
    assert_eq!(
        (db.count("jobs").await, db.count("delivery_facts").await),
        (0, 0)
    );
    assert_eq!(
        db.texts("SELECT DISTINCT outcome FROM delivery_attempts")
            .await,
        ["unknown"]
    );
    let mixed: Vec<_> = new
        .jobs
        .iter()
        .map(|job| {
            done(
                &new,
                job,
                tried(now, "accepted"),
                sent(&job.job.id.to_string()),
            )
        })
        .chain([done(
            &old,
            &old.jobs[0],
            tried(now, "try_later"),
            Then::Again { due_at: now },
        )])
        .collect();
    let left = [nothing_left(&new), nothing_left(&old)].concat();
    assert_eq!(db.store.record(&mixed, &left).await.unwrap(), 1);
    for entry in db.store.entries(BUSINESS, &ids).await.unwrap() {
        assert_eq!(entry.statuses(), [Status::Sent]);
    }
    assert_eq!((db.count("jobs").await, db.count("claims").await), (0, 0));
}

async fn an_acceptance_learnt_too_late_is_added_all_the_same(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let sent_at = db.clock.now();
    let old = claimed(&db.store).await;
    rescue(&db.store, GRACE).await;
    let late = done(
        &old,
        &old.jobs[0],
        tried(sent_at, "accepted"),
        sent("p-old"),
    );
    assert_eq!(
        db.store.record(&[late], &nothing_left(&old)).await.unwrap(),
        1
    );
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.statuses(), [Status::Sent]);
    assert_eq!(entry.facts.sent.unwrap().key, EventKey::of_attempt(1));
    // The successor learns of it instead of sending again.
    db.pass(GRACE);
    let new = claimed(&db.store).await;
    assert!(new.jobs[0].has_gone);
}

async fn feedback_during_the_grace_settles_an_unknown_attempt(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    claimed(&db.store).await;
    rescue(&db.store, GRACE).await;
    let message = incoming(
        "m",
        Some(id),
        Some("p"),
        vec![happening(1, db.clock.now(), delivered())],
    );
    db.store.keep_feedback(message).await.unwrap();
    db.pass(GRACE);
    let claim = claimed(&db.store).await;
    assert!(claim.jobs[0].has_gone);
}

async fn concurrent_rescuers_bring_each_job_back_once(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 60]).await;
    while let Some(claim) = db.store.claim(wanted(Method::Email, 2)).await.unwrap() {
        assert_eq!(claim.jobs.len(), 2);
    }
    let other = db.another_store().await;
    let rescuers = (0..6).map(|i| {
        let store = if i % 2 == 0 {
            db.store.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let mut rescued = 0;
            for _ in 0..4 {
                rescued += rescue(&store, Duration::ZERO).await;
            }
            rescued
        })
    });
    let mut rescued = 0;
    for rescuer in rescuers.collect::<Vec<_>>() {
        rescued += rescuer.await.unwrap();
    }
    assert_eq!(rescued, 60);
    assert_eq!(db.count("claims").await, 0);
    assert_eq!(db.count("delivery_attempts").await, 60);
    let waiting: BTreeSet<String> = db.texts("SELECT id FROM jobs").await.into_iter().collect();
    assert_eq!(waiting, ids.iter().map(ToString::to_string).collect());
    other.close().await;
}
