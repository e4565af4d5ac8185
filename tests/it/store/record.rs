//! Recording: attempts, facts, retries, and the end of a claim.

use std::slice::from_ref;
use std::time::Duration;

use sendtrail::domain::event::{EventKey, Failure, What};
use sendtrail::domain::facts::Facts;
use sendtrail::domain::method::Method;
use sendtrail::domain::reason::Category;
use sendtrail::domain::status::Status;
use sendtrail::store::record::{Left, Then, Tried};

use super::make::{
    BUSINESS, claimed, delivered, done, email, enqueued, happening, incoming, nothing_left, opened,
    rescue, send_one, sent, tried, wanted,
};
use crate::support::db::{TestDb, both};

both! {
    every_outcome_leaves_its_mark,
    an_attempt_is_kept_with_all_that_is_known_of_it,
    a_retry_counts_attempts_and_those_that_count_as_failures,
    the_claim_ends_with_its_last_job,
    a_released_job_goes_back_as_it_was,
    a_settled_job_changes_nothing,
    nothing_to_record_is_no_trouble,
    recording_twice_changes_nothing,
    a_send_recorded_after_its_feedback_erases_nothing,
    a_second_acceptance_is_added_to_the_first,
    hostile_answers_of_a_provider_are_kept,
}

fn failure(category: Category, code: &str) -> Failure {
    Failure {
        category,
        code: Some(code.to_owned()),
        provider_text: Some(format!("{code} says the provider")),
    }
}

async fn every_outcome_leaves_its_mark(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 6]).await;
    let now = db.clock.now();
    let later = now.plus(Duration::from_mins(5));
    let claim = claimed(&db.store).await;
    let rejected = failure(Category::InvalidAddress, "550");
    let gave_up = failure(Category::ProviderUnavailable, "451");
    let expired = failure(Category::Expired, "expired");
    let outcomes = [
        (tried(now, "accepted"), sent("p-0")),
        (tried(now, "rejected"), Then::Rejected(rejected.clone())),
        (tried(now, "try_later"), Then::GaveUp(gave_up.clone())),
        (None, Then::GaveUp(expired.clone())),
        (tried(now, "try_later"), Then::Again { due_at: later }),
        (None, Then::Settled),
    ];
    let batch: Vec<_> = claim
        .jobs
        .iter()
        .zip(outcomes)
        .map(|(job, (tried, then))| done(&claim, job, tried, then))
        .collect();
    let dropped = db
        .store
        .record(&batch, &nothing_left(&claim))
        .await
        .unwrap();
    assert_eq!(dropped, 0);
    assert_eq!(db.count("claims").await, 0);

    let finished = now.plus(Duration::from_millis(40));
    let entries = db.store.entries(BUSINESS, &ids).await.unwrap();
    let facts: Vec<&Facts> = entries.iter().map(|entry| &entry.facts).collect();
    let sent = facts[0].sent.as_ref().unwrap();
    assert_eq!((sent.at, sent.provider.as_str()), (finished, "ses"));
    assert_eq!(sent.provider_message_id.as_deref(), Some("p-0"));
    assert!(sent.opens_tracked);
    assert_eq!(sent.key, EventKey::of_attempt(1));
    for (i, why, at, key) in [
        (1, rejected, finished, EventKey::of_attempt(1)),
        (2, gave_up, finished, EventKey::of_attempt(1)),
        (3, expired, now, EventKey::of_giving_up()),
    ] {
        let failed = facts[i].failed.as_ref().unwrap();
        assert_eq!(
            (&failed.failure, failed.at, failed.key),
            (&why, at, key),
            "{i}"
        );
        assert_eq!(entries[i].statuses(), [Status::Failed]);
    }
    for i in [4, 5] {
        assert_eq!(facts[i], &Facts::default(), "{i}");
    }
    assert_eq!(
        db.store.story(ids[4]).await.unwrap().next_due_at,
        Some(later)
    );
    assert_eq!(db.count("jobs").await, 1);
    let counts = "SELECT COUNT(*) FROM delivery_attempts";
    assert_eq!(db.texts(counts).await, ["4"]);
}

async fn an_attempt_is_kept_with_all_that_is_known_of_it(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    let due_at = now.plus(Duration::from_mins(5));
    let claim = claimed(&db.store).await;
    let attempt = Tried {
        provider: "smtp",
        started_at: now,
        finished_at: now.plus(Duration::from_millis(7)),
        outcome: "try_later",
        counts: true,
        cause: None,
        code: Some("451 4.7.1".to_owned()),
        text: Some("Greylisted".to_owned()),
    };
    let again = Then::Again { due_at };
    let done_one = done(&claim, &claim.jobs[0], Some(attempt.clone()), again);
    db.store
        .record(&[done_one], &nothing_left(&claim))
        .await
        .unwrap();
    let story = db.store.story(id).await.unwrap();
    let [kept] = story.attempts.as_slice() else {
        panic!("{story:?}");
    };
    assert_eq!((kept.number, kept.provider.as_str()), (1, "smtp"));
    assert_eq!(
        (kept.started_at, kept.finished_at),
        (attempt.started_at, attempt.finished_at)
    );
    assert_eq!(kept.outcome, "try_later");
    assert_eq!((&kept.code, &kept.text), (&attempt.code, &attempt.text));
    assert_eq!(
        (kept.next_at, story.next_due_at),
        (Some(due_at), Some(due_at))
    );
    assert!(story.events.is_empty(), "a retry is no event");

    db.clock.set(due_at);
    send_one(&db.store, due_at, "p").await;
    let story = db.store.story(id).await.unwrap();
    let numbers: Vec<_> = story
        .attempts
        .iter()
        .map(|a| (a.number, a.next_at))
        .collect();
    assert_eq!(numbers, [(1, Some(due_at)), (2, None)]);
    assert_eq!(story.next_due_at, None);
    let [event] = story.events.as_slice() else {
        panic!("{story:?}");
    };
    assert_eq!(
        (event.key, event.source.as_str()),
        (EventKey::of_attempt(2), "ses")
    );
    let What::Accepted { provider, .. } = &event.what else {
        panic!("{event:?}");
    };
    assert_eq!(provider, "ses");
}

async fn a_retry_counts_attempts_and_those_that_count_as_failures(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1")]).await;
    for (counts, attempts, failures) in [(true, 1, 1), (false, 2, 1), (true, 3, 2)] {
        let now = db.pass(Duration::from_secs(1));
        let claim = claimed(&db.store).await;
        let mut attempt = tried(now, "throttled");
        attempt.as_mut().unwrap().counts = counts;
        let again = Then::Again { due_at: now };
        let done = done(&claim, &claim.jobs[0], attempt, again);
        db.store
            .record(&[done], &nothing_left(&claim))
            .await
            .unwrap();
        let next = claimed(&db.store).await;
        let job = next.jobs[0].job;
        assert_eq!((job.attempts, job.failures), (attempts, failures));
        let put_back = super::make::done(&next, &next.jobs[0], None, Then::Again { due_at: now });
        db.store
            .record(&[put_back], &nothing_left(&next))
            .await
            .unwrap();
    }
    assert_eq!(db.count("delivery_attempts").await, 3);
}

async fn the_claim_ends_with_its_last_job(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); 3]).await;
    let claim = claimed(&db.store).await;
    let now = db.clock.now();
    for i in 0..3 {
        let record = done(
            &claim,
            &claim.jobs[i],
            tried(now, "accepted"),
            sent(&format!("p{i}")),
        );
        let left = Left {
            claim: claim.id,
            jobs: claim.jobs[i + 1..]
                .iter()
                .map(|claimed| claimed.job)
                .collect(),
            rewrite: false,
        };
        assert_eq!(db.store.record(&[record], &[left]).await.unwrap(), 0);
        assert_eq!(db.count("claims").await, usize::from(i < 2));
    }
    assert_eq!(db.count("delivery_facts").await, 3);
}

async fn a_released_job_goes_back_as_it_was(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 3]).await;
    let claim = claimed(&db.store).await;
    let now = db.clock.now();
    let released = done(&claim, &claim.jobs[0], None, Then::Again { due_at: now });
    let left = Left {
        claim: claim.id,
        jobs: claim.jobs[1..].iter().map(|claimed| claimed.job).collect(),
        rewrite: true,
    };
    db.store.record(&[released], &[left]).await.unwrap();
    let next = db
        .store
        .claim(wanted(Method::Email, 10))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(next.jobs.len(), 1);
    assert_eq!(next.jobs[0].job, claim.jobs[0].job);
    assert_eq!(db.count("delivery_attempts").await, 0);
    // Its first claim dies: the released job is not in it any more.
    db.execute(&format!("DELETE FROM claims WHERE id = '{}'", next.id))
        .await;
    assert_eq!(rescue(&db.store, Duration::ZERO).await, 2);
    let back = db.texts("SELECT id FROM jobs ORDER BY id").await;
    assert_eq!(
        back,
        ids[1..].iter().map(ToString::to_string).collect::<Vec<_>>()
    );
}

async fn a_settled_job_changes_nothing(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let message = incoming(
        "m",
        Some(id),
        None,
        vec![happening(1, db.clock.now(), delivered())],
    );
    db.store.keep_feedback(message).await.unwrap();
    let before = db.store.entry(BUSINESS, id).await.unwrap().unwrap().facts;
    let claim = claimed(&db.store).await;
    let settled = done(&claim, &claim.jobs[0], None, Then::Settled);
    db.store
        .record(&[settled], &nothing_left(&claim))
        .await
        .unwrap();
    let after = db.store.entry(BUSINESS, id).await.unwrap().unwrap().facts;
    assert_eq!(before, after);
    assert_eq!((db.count("jobs").await, db.count("claims").await), (0, 0));
    assert_eq!(db.count("delivery_attempts").await, 0);
}

async fn nothing_to_record_is_no_trouble(db: &TestDb) {
    assert_eq!(db.store.record(&[], &[]).await.unwrap(), 0);
}

async fn recording_twice_changes_nothing(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let claim = claimed(&db.store).await;
    let done = done(
        &claim,
        &claim.jobs[0],
        tried(db.clock.now(), "accepted"),
        sent("p"),
    );
    let left = Left {
        claim: claim.id,
        jobs: vec![claim.jobs[0].job],
        rewrite: false,
    };
    // As when the answer to the first commit was lost.
    db.store.record(from_ref(&done), &[left]).await.unwrap();
    let before = db.store.entry(BUSINESS, id).await.unwrap().unwrap().facts;
    assert_eq!(
        db.store
            .record(from_ref(&done), &nothing_left(&claim))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        db.store
            .record(&[done], &nothing_left(&claim))
            .await
            .unwrap(),
        1
    );
    let after = db.store.entry(BUSINESS, id).await.unwrap().unwrap().facts;
    assert_eq!(before, after);
    assert_eq!(db.count("delivery_events").await, 1);
    assert_eq!(db.count("delivery_attempts").await, 1);
}

async fn a_send_recorded_after_its_feedback_erases_nothing(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    let claim = claimed(&db.store).await;
    // By our own id before the send is recorded, by the provider's id before it is known.
    let by_id = incoming("m1", Some(id), None, vec![happening(1, now, delivered())]);
    let by_theirs = incoming("m2", None, Some("p"), vec![happening(2, now, opened())]);
    db.store.keep_feedback(by_id).await.unwrap();
    db.store.keep_feedback(by_theirs).await.unwrap();
    let done = done(&claim, &claim.jobs[0], tried(now, "accepted"), sent("p"));
    db.store
        .record(&[done], &nothing_left(&claim))
        .await
        .unwrap();
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    assert_eq!(entry.facts.delivered_at, Some(now));
    assert_eq!(entry.facts.opened.as_ref().unwrap().count, 1);
    assert!(entry.facts.sent.is_some());
    assert_eq!(entry.statuses(), [Status::Opened]);
    let story = db.store.story(id).await.unwrap();
    assert_eq!(entry.facts, Facts::fold(&story.events));
    assert_eq!(db.store.count_unmatched(10).await.unwrap(), 0);
}

async fn a_second_acceptance_is_added_to_the_first(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let now = db.clock.now();
    let claim = claimed(&db.store).await;
    let by_provider = What::Accepted {
        provider: "ses".to_owned(),
        provider_message_id: Some("p".to_owned()),
        opens_tracked: false,
    };
    let earlier = now.minus(Duration::from_millis(5));
    let message = incoming(
        "m",
        Some(id),
        None,
        vec![happening(9, earlier, by_provider)],
    );
    db.store.keep_feedback(message).await.unwrap();
    let done = done(&claim, &claim.jobs[0], tried(now, "accepted"), sent("p"));
    db.store
        .record(&[done], &nothing_left(&claim))
        .await
        .unwrap();
    let entry = db.store.entry(BUSINESS, id).await.unwrap().unwrap();
    let sent = entry.facts.sent.as_ref().unwrap();
    assert_eq!(sent.at, earlier);
    assert!(sent.opens_tracked, "what either of them knows holds");
    assert_eq!(db.store.story(id).await.unwrap().events.len(), 2);
}

async fn hostile_answers_of_a_provider_are_kept(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 2]).await;
    let now = db.clock.now();
    let claim = claimed(&db.store).await;
    let long = |what: &str| format!("{what}\0{}", "é".repeat(100_000));
    let mut attempt = tried(now, "accepted");
    let parts = attempt.as_mut().unwrap();
    parts.code = Some("250\0".to_owned());
    parts.text = Some(long("text"));
    let accepted = done(&claim, &claim.jobs[0], attempt.clone(), sent(&long("p")));
    let refusal = Failure {
        category: Category::Unknown,
        code: Some("\0".to_owned()),
        provider_text: Some(long("refused")),
    };
    let rejected = done(&claim, &claim.jobs[1], attempt, Then::Rejected(refusal));
    let batch = [accepted, rejected];
    assert_eq!(
        db.store
            .record(&batch, &nothing_left(&claim))
            .await
            .unwrap(),
        0
    );
    assert_eq!(db.count("claims").await, 0);
    let event = happening(1, now, delivered());
    let feedback = incoming("m", None, Some(&long("p")), vec![event]);
    db.store.keep_feedback(feedback).await.unwrap();
    let entries = db.store.entries(BUSINESS, &ids).await.unwrap();
    assert_eq!(
        entries[0].statuses(),
        [Status::Unopened],
        "matched by the same long id"
    );
    let failed = entries[1].facts.failed.as_ref().unwrap();
    assert_eq!(failed.failure.code.as_deref(), Some("\u{FFFD}"));
}
