//! What may or may not have been sent: held until a person decides or feedback shows that it went.

use std::slice::from_ref;
use std::time::Duration;

use sendtrail::domain::event::{Decision, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::reason::Category;
use sendtrail::domain::status::Status;
use sendtrail::store::claims::Lost;
use sendtrail::store::held::Decided;
use sendtrail::store::history::Story;
use sendtrail::store::record::Then;

use super::make::{
    BUSINESS, claimed, delivered, done, email, enqueued, happening, incoming, nothing_left, of,
    rescue, send_one, sms, tried, wanted,
};
use crate::support::db::{TestDb, both};

both! {
    an_unknown_outcome_that_is_held_leaves_the_queue,
    a_dead_workers_jobs_are_held_by_their_method,
    a_decision_to_resend_puts_it_back_at_once,
    the_time_for_attempts_runs_from_the_first_one_and_anew_from_a_decision,
    a_decision_to_give_up_fails_it_with_the_true_reason,
    a_decision_that_it_was_sent_makes_it_sent,
    a_decision_is_made_once,
    a_decision_may_come_before_the_grace_is_over,
    where_the_outcome_is_known_there_is_nothing_to_decide,
    feedback_settles_what_is_held,
    what_is_held_can_be_cancelled,
    a_commit_that_is_repeated_after_the_decision_holds_nothing_again,
    held_ones_are_listed_page_by_page_and_by_business,
}

const STAFF: Option<&str> = Some("S-7");

/// An email whose attempt ended like this, its record being of unknown outcome.
async fn unknown(db: &TestDb, then: Then) -> NotificationId {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let claim = claimed(&db.store).await;
    let attempt = tried(db.clock.now(), "unknown");
    let done = done(&claim, &claim.jobs[0], attempt, then);
    let left = nothing_left(&claim);
    db.store.record(&[done], &left).await.unwrap();
    id
}

pub(super) async fn held(db: &TestDb) -> NotificationId {
    unknown(db, Then::Hold).await
}

async fn story(db: &TestDb, id: NotificationId) -> Story {
    db.store.story(id).await.unwrap()
}

async fn statuses(db: &TestDb, id: NotificationId) -> Vec<Status> {
    let entry = db.store.entry(BUSINESS, id).await.unwrap();
    entry.unwrap().statuses()
}

async fn decide(db: &TestDb, id: NotificationId, decision: Decision) -> Decided {
    let decided = db.store.decide(BUSINESS, id, decision, STAFF).await;
    decided.unwrap()
}

/// The decisions in the ledger.
fn decisions(story: &Story) -> Vec<(Decision, Option<&str>)> {
    let mut decisions = Vec::new();
    for event in &story.events {
        if let What::Decided { decision, staff_id } = &event.what {
            decisions.push((*decision, staff_id.as_deref()));
        }
    }
    decisions
}

async fn an_unknown_outcome_that_is_held_leaves_the_queue(db: &TestDb) {
    let id = held(db).await;
    let held_at = db.clock.now();
    db.pass(Duration::from_hours(1000));
    let claim = db.store.claim(wanted(Method::Email, 10)).await.unwrap();
    assert!(claim.is_none());
    assert_eq!((db.count("jobs").await, db.count("claims").await), (0, 0));
    let story = story(db, id).await;
    assert_eq!((story.held_at, story.next_due_at), (Some(held_at), None));
    assert_eq!(story.attempts[0].next_at, None);
    assert!(story.events.is_empty(), "nobody observed a failure");
    assert_eq!(statuses(db, id).await, [Status::AwaitingSend]);
}

async fn a_dead_workers_jobs_are_held_by_their_method(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"), sms("C-1")]).await;
    for method in [Method::Email, Method::Sms] {
        db.store.claim(wanted(method, 10)).await.unwrap().unwrap();
    }
    let dead = db.store.pulses().await.unwrap();
    let lost = Lost {
        grace: Duration::from_mins(5),
        held: &[Method::Sms],
    };
    assert_eq!(db.store.rescue(&dead, lost).await.unwrap().jobs, 2);
    let due_at = db.clock.now().plus(lost.grace);
    let [email, sms] = [story(db, ids[0]).await, story(db, ids[1]).await];
    assert_eq!((email.next_due_at, email.held_at), (Some(due_at), None));
    assert_eq!((sms.next_due_at, sms.held_at), (None, Some(db.clock.now())));
    for (story, next_at) in [(email, Some(due_at)), (sms, None)] {
        assert_eq!(story.attempts[0].outcome, "unknown");
        assert_eq!(story.attempts[0].next_at, next_at);
    }
}

async fn a_decision_to_resend_puts_it_back_at_once(db: &TestDb) {
    let id = held(db).await;
    assert_eq!(decide(db, id, Decision::Resend).await, Decided::Done);
    assert_eq!(db.count("held_jobs").await, 0);
    let before = story(db, id).await;
    assert_eq!(decisions(&before), [(Decision::Resend, STAFF)]);
    assert_eq!(before.events[0].source, "staff");
    let claim = claimed(&db.store).await;
    let job = claim.jobs[0].job;
    assert_eq!((job.attempts, job.failures), (1, 0), "it may fail anew");
    assert_eq!(statuses(db, id).await, [Status::AwaitingSend]);
}

async fn the_time_for_attempts_runs_from_the_first_one_and_anew_from_a_decision(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    db.pass(Duration::from_hours(100));
    let claim = claimed(&db.store).await;
    assert_eq!(claim.jobs[0].tried_since, None, "it only waited");
    let first = db.clock.now();
    let again = Then::Again { due_at: first };
    let attempt = tried(first, "unknown");
    let first_done = done(&claim, &claim.jobs[0], attempt, again);
    let left = nothing_left(&claim);
    db.store.record(&[first_done], &left).await.unwrap();

    db.pass(Duration::from_hours(1));
    let claim = claimed(&db.store).await;
    assert_eq!(claim.jobs[0].tried_since, Some(first));
    let attempt = tried(db.clock.now(), "unknown");
    let second_done = done(&claim, &claim.jobs[0], attempt, Then::Hold);
    let left = nothing_left(&claim);
    db.store.record(&[second_done], &left).await.unwrap();

    let decided = db.pass(Duration::from_hours(100));
    assert_eq!(decide(db, id, Decision::Resend).await, Decided::Done);
    db.pass(Duration::from_hours(1));
    let claim = claimed(&db.store).await;
    assert_eq!(claim.jobs[0].tried_since, Some(decided));
}

async fn a_decision_to_give_up_fails_it_with_the_true_reason(db: &TestDb) {
    let id = held(db).await;
    assert_eq!(decide(db, id, Decision::GiveUp).await, Decided::Done);
    assert_eq!(
        (db.count("held_jobs").await, db.count("jobs").await),
        (0, 0)
    );
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.statuses(), [Status::Failed]);
    let failed = entry.facts.failed.unwrap();
    assert_eq!(failed.failure.category, Category::OutcomeUnknown);
    let story = story(db, id).await;
    assert_eq!(decisions(&story), [(Decision::GiveUp, STAFF)]);
}

async fn a_decision_that_it_was_sent_makes_it_sent(db: &TestDb) {
    let id = held(db).await;
    db.pass(Duration::from_mins(3));
    assert_eq!(decide(db, id, Decision::Sent).await, Decided::Done);
    assert_eq!(
        (db.count("held_jobs").await, db.count("jobs").await),
        (0, 0)
    );
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.statuses(), [Status::Sent]);
    let sent = entry.facts.sent.unwrap();
    assert_eq!((sent.at, sent.provider.as_str()), (db.clock.now(), "ses"));
    // What the provider says later is added to it.
    let event = happening(1, db.clock.now(), delivered());
    let message = incoming("m", Some(id), Some("p"), vec![event]);
    db.store.keep_feedback(message).await.unwrap();
    assert_eq!(statuses(db, id).await, [Status::Sent]);
}

async fn a_decision_is_made_once(db: &TestDb) {
    for (first, second) in [
        (Decision::Resend, Decision::GiveUp),
        (Decision::GiveUp, Decision::Sent),
        (Decision::Sent, Decision::Resend),
    ] {
        let id = held(db).await;
        assert_eq!(decide(db, id, first).await, Decided::Done);
        for again in [first, second] {
            assert_eq!(decide(db, id, again).await, Decided::Before(first));
        }
        let story = story(db, id).await;
        assert_eq!(decisions(&story), [(first, STAFF)]);
        let waits = usize::from(first == Decision::Resend);
        assert_eq!(db.count("jobs").await, waits);
        db.execute("DELETE FROM jobs").await;
    }
    // The next attempt of unknown outcome is another matter.
    let id = held(db).await;
    decide(db, id, Decision::Resend).await;
    let claim = claimed(&db.store).await;
    let attempt = tried(db.clock.now(), "unknown");
    let done = done(&claim, &claim.jobs[0], attempt, Then::Hold);
    let left = nothing_left(&claim);
    db.store.record(&[done], &left).await.unwrap();
    assert_eq!(decide(db, id, Decision::GiveUp).await, Decided::Done);
}

async fn a_decision_may_come_before_the_grace_is_over(db: &TestDb) {
    let due_at = db.clock.now().plus(Duration::from_mins(5));
    let id = unknown(db, Then::Again { due_at }).await;
    let claim = db.store.claim(wanted(Method::Email, 10)).await.unwrap();
    assert!(claim.is_none(), "it waits for feedback");
    assert_eq!(decide(db, id, Decision::Resend).await, Decided::Done);
    assert_eq!(claimed(&db.store).await.jobs[0].job.id, id);
}

async fn where_the_outcome_is_known_there_is_nothing_to_decide(db: &TestDb) {
    let nothing = Decided::NothingToDecide;
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    assert_eq!(decide(db, id, Decision::GiveUp).await, nothing, "waits");
    let claim = claimed(&db.store).await;
    assert_eq!(decide(db, id, Decision::GiveUp).await, nothing, "in hand");
    let due_at = db.clock.now();
    let attempt = tried(due_at, "try_later");
    let record = done(&claim, &claim.jobs[0], attempt, Then::Again { due_at });
    let left = nothing_left(&claim);
    db.store.record(&[record], &left).await.unwrap();
    assert_eq!(decide(db, id, Decision::GiveUp).await, nothing, "refused");
    send_one(&db.store, due_at, "p").await;
    assert_eq!(decide(db, id, Decision::Resend).await, nothing, "sent");
    assert_eq!(statuses(db, id).await, [Status::Sent]);
    // Another business's.
    let id = held(db).await;
    let foreign = db.store.decide("other", id, Decision::GiveUp, None).await;
    assert_eq!(foreign.unwrap(), nothing);
    assert!(!db.store.cancel("other", id).await.unwrap());
    assert_eq!(db.count("held_jobs").await, 1);
}

async fn feedback_settles_what_is_held(db: &TestDb) {
    let [gone, late, open] = [held(db).await, held(db).await, held(db).await];
    for (message, id) in [("m1", gone), ("m2", late)] {
        let event = happening(1, db.clock.now(), delivered());
        let message = incoming(message, Some(id), None, vec![event]);
        db.store.keep_feedback(message).await.unwrap();
    }
    assert_eq!(statuses(db, gone).await, [Status::Sent]);
    let listed = db.store.held(BUSINESS, None, 10).await.unwrap();
    assert_eq!(listed.len(), 1, "at once");
    assert_eq!(listed[0].id, open);
    assert_eq!(decide(db, late, Decision::Resend).await, Decided::HasGone);
    assert_eq!(db.store.settle_held(None).await.unwrap(), None);
    let left = db.texts("SELECT id FROM held_jobs").await;
    assert_eq!(left, [open.to_string()]);
    assert_eq!(db.count("jobs").await, 0, "nothing is sent again");
}

async fn what_is_held_can_be_cancelled(db: &TestDb) {
    let id = held(db).await;
    assert!(db.store.cancel(BUSINESS, id).await.unwrap());
    assert_eq!(db.count("held_jobs").await, 0);
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    let failed = entry.facts.failed.unwrap();
    assert_eq!(failed.failure.category, Category::Cancelled);
}

async fn a_commit_that_is_repeated_after_the_decision_holds_nothing_again(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); 2]).await;
    let claim = claimed(&db.store).await;
    let attempt = tried(db.clock.now(), "unknown");
    let record = done(&claim, &claim.jobs[0], attempt, Then::Hold);
    let left = [sendtrail::store::record::Left {
        claim: claim.id,
        jobs: vec![claim.jobs[1].job],
        rewrite: false,
    }];
    db.store.record(from_ref(&record), &left).await.unwrap();
    decide(db, claim.jobs[0].job.id, Decision::GiveUp).await;
    // Its answer had been lost.
    db.store.record(&[record], &left).await.unwrap();
    assert_eq!(db.count("held_jobs").await, 0);
    assert_eq!(rescue(&db.store, Duration::ZERO).await, 1, "the other");
}

async fn held_ones_are_listed_page_by_page_and_by_business(db: &TestDb) {
    db.store.ensure_business("other", "Other").await.unwrap();
    of(&db.store, "other", vec![email("C-9")]).await;
    let mut ids = enqueued(&db.store, vec![email("C-1"); 5]).await;
    let claim = claimed(&db.store).await;
    let batch = claim.jobs.iter().map(|job| {
        let attempt = tried(db.clock.now(), "unknown");
        done(&claim, job, attempt, Then::Hold)
    });
    let batch: Vec<_> = batch.collect();
    let left = nothing_left(&claim);
    db.store.record(&batch, &left).await.unwrap();
    assert_eq!(db.count("held_jobs").await, 6);
    assert_eq!(
        db.store.count_held(10).await.unwrap(),
        6,
        "of all businesses"
    );
    assert_eq!(db.store.count_held(4).await.unwrap(), 4, "and no more");
    ids.reverse();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = db.store.held(BUSINESS, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert_eq!(last.held_at, db.clock.now());
        after = Some(last.id);
        listed.extend(page.into_iter().map(|held| held.id));
    }
    assert_eq!(listed, ids);
}
