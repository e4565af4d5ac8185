//! The queue: lanes, due times, limits, heartbeats, cancelling, depth.

use std::collections::BTreeSet;
use std::time::Duration;

use sendtrail::domain::address::Address;
use sendtrail::domain::event::What;
use sendtrail::domain::form::Form;
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::Content;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::domain::reason::Category;
use sendtrail::domain::status::Status;
use sendtrail::store::Store;
use sendtrail::store::enqueue::NewNotification;
use sendtrail::store::jobs::{Claim, Wanted};
use sendtrail::store::record::Then;

use super::make::{
    BUSINESS, LEASE, claimed, delivered, done, email, enqueued, happening, incoming, lost,
    nothing_left, push, rescue, sent, sms, tried, wanted,
};
use crate::support::db::{TestDb, both};

both! {
    higher_lanes_go_first_and_in_each_what_is_due_longest,
    a_job_of_the_future_waits,
    a_claim_takes_no_more_than_its_limit,
    each_method_has_its_own_queue,
    each_form_of_push_target_has_its_own_queue,
    a_claim_brings_what_is_needed_to_send,
    a_message_that_cannot_be_read_does_not_hold_up_the_others,
    what_feedback_proves_to_have_gone_is_marked,
    concurrent_claimers_never_share_a_job,
    a_heartbeat_extends_the_claims_that_are_held_alone,
    a_waiting_job_is_cancelled_a_claimed_one_is_not,
    what_is_known_to_have_gone_is_not_cancelled,
    depth_tells_how_many_wait_and_since_when,
    depth_counts_all_forms_of_push_targets_together,
}

fn ids(claim: &Claim) -> Vec<NotificationId> {
    claim.jobs.iter().map(|claimed| claimed.job.id).collect()
}

async fn claim(store: &Store, method: Method, limit: usize) -> Vec<NotificationId> {
    let claim = store.claim(wanted(method, limit)).await.unwrap();
    claim.as_ref().map(ids).unwrap_or_default()
}

async fn higher_lanes_go_first_and_in_each_what_is_due_longest(db: &TestDb) {
    let mut batch = Vec::new();
    for priority in [Priority::Bulk, Priority::Normal, Priority::High] {
        let mut new = email("C-1");
        new.priority = priority;
        batch.extend([new.clone(), new]);
    }
    let [bulk_1, bulk_2, normal_1, normal_2, high_1, high_2] =
        enqueued(&db.store, batch).await.try_into().unwrap();
    db.pass(Duration::from_mins(1));
    let mut late_high = email("C-2");
    late_high.priority = Priority::High;
    let late_high = enqueued(&db.store, vec![late_high]).await[0];
    assert_eq!(
        claim(&db.store, Method::Email, 3).await,
        [high_1, high_2, late_high]
    );
    assert_eq!(
        claim(&db.store, Method::Email, 3).await,
        [normal_1, normal_2, bulk_1]
    );
    assert_eq!(claim(&db.store, Method::Email, 3).await, [bulk_2]);
    assert!(
        db.store
            .claim(wanted(Method::Email, 3))
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(db.count("claims").await, 3);
    assert_eq!(db.count("jobs").await, 0);
}

async fn a_job_of_the_future_waits(db: &TestDb) {
    let mut later = email("C-1");
    later.send_at = Some(db.clock.now().plus(Duration::from_mins(1)));
    let mut past = email("C-1");
    past.send_at = Some(db.clock.now().minus(Duration::from_mins(1)));
    let [later, past] = enqueued(&db.store, vec![later, past])
        .await
        .try_into()
        .unwrap();
    assert_eq!(claim(&db.store, Method::Email, 10).await, [past]);
    db.pass(Duration::from_millis(59_999));
    assert!(claim(&db.store, Method::Email, 10).await.is_empty());
    db.pass(Duration::from_millis(1));
    assert_eq!(claim(&db.store, Method::Email, 10).await, [later]);
}

async fn a_claim_takes_no_more_than_its_limit(db: &TestDb) {
    let all = enqueued(&db.store, vec![email("C-1"); 5]).await;
    assert!(claim(&db.store, Method::Email, 0).await.is_empty());
    assert_eq!(claim(&db.store, Method::Email, 3).await, all[..3]);
    assert_eq!(claim(&db.store, Method::Email, 3).await, all[3..]);
}

async fn each_method_has_its_own_queue(db: &TestDb) {
    let batch = vec![email("C-1"), sms("C-1"), push("C-1")];
    let [email, sms, push] = enqueued(&db.store, batch).await.try_into().unwrap();
    assert_eq!(claim(&db.store, Method::Push, 10).await, [push]);
    assert_eq!(claim(&db.store, Method::Sms, 10).await, [sms]);
    assert_eq!(claim(&db.store, Method::Email, 10).await, [email]);
}

fn push_to(target: &str, priority: Priority) -> NewNotification {
    NewNotification {
        to: Address::parse(Method::Push, target).ok(),
        priority,
        ..push("C-1")
    }
}

const ARN: &str = "arn:aws:sns:us-east-1:123456789012:endpoint/GCM/app/1";

async fn each_form_of_push_target_has_its_own_queue(db: &TestDb) {
    let hex = "0a".repeat(32);
    let batch = [Priority::Bulk, Priority::High]
        .into_iter()
        .flat_map(|priority| [ARN, &hex, "d:APA91b"].map(|target| push_to(target, priority)));
    let [arn_2, hex_2, fcm_2, arn_1, hex_1, fcm_1] = enqueued(&db.store, batch.collect())
        .await
        .try_into()
        .unwrap();
    let claim_of = async |forms: &[Form]| {
        let wanted = Wanted {
            forms,
            ..wanted(Method::Push, 10)
        };
        db.store.claim(wanted).await.unwrap()
    };
    let claim = claim_of(&[Form::Hex]).await.unwrap();
    assert_eq!(ids(&claim), [hex_1, hex_2]);
    // What is put back waits where it was.
    let again = claim.jobs.iter().map(|job| {
        let due_at = db.clock.now();
        done(
            &claim,
            job,
            tried(due_at, "try_later"),
            Then::Again { due_at },
        )
    });
    let again: Vec<_> = again.collect();
    let recorded = db.store.record(&again, &nothing_left(&claim)).await;
    assert_eq!(recorded.unwrap(), 0);
    let claim = claim_of(&[Form::Plain, Form::Arn]).await.unwrap();
    assert_eq!(
        ids(&claim),
        [fcm_1, arn_1, fcm_2, arn_2],
        "by priority first"
    );
    assert!(claim_of(&[Form::Plain, Form::Arn]).await.is_none());
    assert_eq!(ids(&claim_of(&[Form::Hex]).await.unwrap()), [hex_1, hex_2]);
    // So does what a dead worker leaves behind.
    assert_eq!(rescue(&db.store, Duration::ZERO).await, 6);
    assert_eq!(ids(&claim_of(&[Form::Arn]).await.unwrap()), [arn_1, arn_2]);
}

async fn a_claim_brings_what_is_needed_to_send(db: &TestDb) {
    let mut new = email("C-1");
    new.expires_at = Some(db.clock.now().plus(Duration::from_mins(1)));
    let id = enqueued(&db.store, vec![new.clone()]).await[0];
    let claim = claimed(&db.store).await;
    let [only] = claim.jobs.as_slice() else {
        panic!("one job");
    };
    assert_eq!(
        (only.job.id, only.job.method, only.job.lane),
        (id, Method::Email, 1)
    );
    assert_eq!((only.job.attempts, only.job.failures), (0, 0));
    assert_eq!(only.expires_at, new.expires_at);
    assert!(!only.has_gone);
    let message = only.message.as_ref().unwrap();
    assert_eq!(message.id, id);
    assert_eq!(message.to, new.to.unwrap());
    let expected = Content::Email {
        subject: "See you on Monday".to_owned(),
        text: Some("Dear C-1".to_owned()),
        html: None,
        reply_to: None,
        attachments: Vec::new(),
    };
    assert_eq!(message.content, expected);
}

async fn a_message_that_cannot_be_read_does_not_hold_up_the_others(db: &TestDb) {
    let batch = vec![push("C-1"), push("C-1"), push("C-1"), push("C-1")];
    let [gone, no_text, odd, good] = enqueued(&db.store, batch).await.try_into().unwrap();
    db.execute(&format!("DELETE FROM message_content WHERE id = '{gone}'"))
        .await;
    db.execute(&format!(
        "UPDATE message_content SET text = NULL WHERE id = '{no_text}'"
    ))
    .await;
    let harm = if db.is_postgres() {
        format!("UPDATE contact_log SET address = '' WHERE id = '{odd}'")
    } else {
        format!("UPDATE message_content SET data = '{{' WHERE id = '{odd}'")
    };
    db.execute(&harm).await;
    let claim = db
        .store
        .claim(wanted(Method::Push, 10))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ids(&claim), [gone, no_text, odd, good]);
    let readable = claim.jobs.iter().map(|claimed| claimed.message.is_some());
    assert_eq!(readable.collect::<Vec<_>>(), [false, false, false, true]);
}

async fn what_feedback_proves_to_have_gone_is_marked(db: &TestDb) {
    let ids = enqueued(&db.store, vec![email("C-1"); 3]).await;
    let now = db.clock.now();
    let accepted = What::Accepted {
        provider: "ses".to_owned(),
        provider_message_id: None,
        opens_tracked: false,
    };
    let delayed = What::Delayed {
        delay_type: None,
        diagnostic: None,
    };
    for (i, what) in [accepted, delivered(), delayed].into_iter().enumerate() {
        let happening = happening(1, now, what);
        let message = incoming(&format!("m{i}"), Some(ids[i]), None, vec![happening]);
        db.store.keep_feedback(message).await.unwrap();
    }
    let claim = claimed(&db.store).await;
    let gone: Vec<bool> = claim.jobs.iter().map(|claimed| claimed.has_gone).collect();
    assert_eq!(gone, [true, true, false], "a delay alone proves nothing");
}

async fn concurrent_claimers_never_share_a_job(db: &TestDb) {
    let all = enqueued(&db.store, vec![email("C-1"); 300]).await;
    let other = db.another_store().await;
    let claimers = (0..8).map(|i| {
        let store = if i % 2 == 0 {
            db.store.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let mut mine = Vec::new();
            while let Some(claim) = store.claim(wanted(Method::Email, 7)).await.unwrap() {
                mine.extend(ids(&claim));
            }
            mine
        })
    });
    let claimers: Vec<_> = claimers.collect();
    let mut claimed = Vec::new();
    for claimer in claimers {
        claimed.extend(claimer.await.unwrap());
    }
    // A claimer that finds every waiting job in others' hands stops early; none is lost.
    claimed.extend(claim(&db.store, Method::Email, 1000).await);
    assert_eq!(claimed.len(), all.len());
    assert_eq!(
        claimed.into_iter().collect::<BTreeSet<_>>(),
        all.into_iter().collect()
    );
    other.close().await;
}

async fn a_heartbeat_extends_the_claims_that_are_held_alone(db: &TestDb) {
    enqueued(&db.store, vec![email("C-1"); 3]).await;
    let mut claims = Vec::new();
    for worker in ["worker-1", "worker-1", "worker-2"] {
        let wanted = Wanted {
            worker,
            ..wanted(Method::Email, 1)
        };
        claims.push(db.store.claim(wanted).await.unwrap().unwrap().id);
    }
    let pulses = db.store.pulses().await.unwrap();
    let (held, lease) = (&claims[..2], pulses[0].lease);
    assert_eq!((pulses.len(), lease), (3, LEASE));
    assert_eq!(db.store.beat(held).await.unwrap().len(), 2);
    assert_eq!(db.store.beat(&[]).await.unwrap(), []);
    // Whoever saw the claims before the heartbeat takes those alone that had none.
    let rescued = db
        .store
        .rescue(&pulses, lost(Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(rescued.jobs, 1);
    assert!(rescued.workers.contains("worker-2"), "{rescued:?}");
    let workers = db.texts("SELECT DISTINCT worker FROM claims").await;
    assert_eq!(workers, ["worker-1"]);
}

async fn a_waiting_job_is_cancelled_a_claimed_one_is_not(db: &TestDb) {
    let [first, second] = enqueued(&db.store, vec![email("C-1"); 2])
        .await
        .try_into()
        .unwrap();
    assert!(db.store.cancel(BUSINESS, first).await.unwrap());
    assert!(!db.store.cancel(BUSINESS, first).await.unwrap(), "once");
    let entry = db.store.entry(BUSINESS, first).await.unwrap().unwrap();
    assert_eq!(entry.statuses(), [Status::Failed]);
    let failed = entry.facts.failed.unwrap();
    assert_eq!(failed.failure.category, Category::Cancelled);
    assert_eq!(failed.at, db.clock.now());
    let claim = claimed(&db.store).await;
    assert_eq!(ids(&claim), [second]);
    assert!(!db.store.cancel(BUSINESS, second).await.unwrap());
    let done = done(
        &claim,
        &claim.jobs[0],
        tried(db.clock.now(), "accepted"),
        sent("p"),
    );
    db.store
        .record(&[done], &nothing_left(&claim))
        .await
        .unwrap();
    assert!(!db.store.cancel(BUSINESS, second).await.unwrap());
    let entry = db.store.entry(BUSINESS, second).await.unwrap().unwrap();
    assert_eq!(entry.statuses(), [Status::Sent]);
}

async fn what_is_known_to_have_gone_is_not_cancelled(db: &TestDb) {
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    let message = incoming(
        "m",
        Some(id),
        None,
        vec![happening(1, db.clock.now(), delivered())],
    );
    db.store.keep_feedback(message).await.unwrap();
    assert!(!db.store.cancel(BUSINESS, id).await.unwrap());
    assert_eq!(db.count("jobs").await, 1, "the worker settles it");
}

async fn depth_tells_how_many_wait_and_since_when(db: &TestDb) {
    assert!(db.store.depth(9).await.unwrap().is_empty());
    let first = db.clock.now();
    let mut bulk = sms("C-1");
    bulk.priority = Priority::Bulk;
    enqueued(&db.store, vec![email("C-1"), bulk.clone(), bulk]).await;
    db.pass(Duration::from_secs(5));
    enqueued(&db.store, vec![email("C-1")]).await;
    let mut depths = db.store.depth(9).await.unwrap();
    depths.sort_by_key(|depth| depth.priority);
    let found: Vec<_> = depths
        .iter()
        .map(|depth| {
            (
                depth.method,
                depth.priority,
                depth.waiting,
                depth.oldest_due_at,
            )
        })
        .collect();
    let expected = [
        (Method::Email, Priority::Normal, 2, first),
        (Method::Sms, Priority::Bulk, 2, first),
    ];
    assert_eq!(found, expected);
    let counted = db.store.depth(1).await.unwrap();
    assert!(
        counted.iter().all(|depth| depth.waiting == 1),
        "{counted:?}"
    );
}

async fn depth_counts_all_forms_of_push_targets_together(db: &TestDb) {
    let first = db.clock.now();
    enqueued(&db.store, vec![push_to(ARN, Priority::Normal)]).await;
    db.pass(Duration::from_secs(5));
    let hex = "0a".repeat(32);
    let later = [&hex, "d:APA91b"].map(|target| push_to(target, Priority::Normal));
    enqueued(&db.store, later.into()).await;
    let depths = db.store.depth(9).await.unwrap();
    let [only] = depths.as_slice() else {
        panic!("{depths:?}");
    };
    assert_eq!(
        (only.method, only.priority),
        (Method::Push, Priority::Normal)
    );
    assert_eq!((only.waiting, only.oldest_due_at), (3, first));
}
