//! Brakes: too much email that comes back holds the bulk email of its business, and nothing else.

use std::time::Duration;

use sendtrail::domain::brake::{Kind, Rules, State};
use sendtrail::domain::flow::Step;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::domain::time::Timestamp;
use sendtrail::store::brakes::Lifted;

use super::make::{BUSINESS, email, of, sms, wanted};
use crate::support::db::{TestDb, both};

both! {
    a_brake_trips_over_its_volume_and_not_under_it,
    a_held_business_sends_what_people_wait_for_and_no_bulk_email,
    a_lifted_brake_lets_bulk_go_and_holds_again_only_for_what_is_sent_since,
    a_warning_ends_by_itself,
    however_many_are_in_trouble_the_last_of_them_is_judged,
}

const RULES: Rules = Rules {
    enabled: true,
    volume_min: 100,
    bounce_warn: 0.05,
    bounce_hold: 0.10,
    complaint_warn: 0.01,
    complaint_hold: 0.05,
};

/// Counts as they would be after so many emails; of what came back, in this bucket.
async fn count(db: &TestDb, business: &str, at: Timestamp, kind: &str, amount: i64) {
    let (at, id) = if db.is_postgres() {
        (format!("'{at}'"), "gen_random_uuid()")
    } else {
        (at.as_millis().to_string(), "lower(hex(randomblob(16)))")
    };
    // Two seconds after the send.
    db.execute(&format!(
        "INSERT INTO flow_increments (id, business_id, at, kind, method, subject, bucket, amount) \
         VALUES ({id}, '{business}', {at}, '{kind}', 'email', 'ses', 13, {amount})"
    ))
    .await;
    while db.store.fold_flow().await.unwrap() {}
}

async fn state(db: &TestDb, business: &str) -> State {
    let brakes = db.store.brakes(Some(business)).await.unwrap();
    let mut brakes = brakes.iter().filter(|brake| brake.kind == Kind::Bounce);
    brakes.next().map_or(State::Ok, |brake| brake.state)
}

pub(super) async fn warn(db: &TestDb) {
    let now = db.clock.now();
    count(db, BUSINESS, now, "sent", 100).await;
    count(db, BUSINESS, now, "bounced_for_good", 6).await;
    db.store.judge_brakes(&RULES).await.unwrap();
    assert_eq!(state(db, BUSINESS).await, State::Warned);
}

pub(super) async fn unwarn(db: &TestDb) {
    let now = db.pass(Duration::from_hours(5));
    count(db, BUSINESS, now, "sent", 100).await;
    db.store.judge_brakes(&RULES).await.unwrap();
    assert_eq!(state(db, BUSINESS).await, State::Ok);
}

pub(super) async fn hold(db: &TestDb, business: &str) {
    let now = db.clock.now();
    count(db, business, now, "sent", 200).await;
    count(db, business, now, "bounced_for_good", 40).await;
    let changed = db.store.judge_brakes(&RULES).await.unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!(state(db, business).await, State::Held);
}

async fn a_brake_trips_over_its_volume_and_not_under_it(db: &TestDb) {
    let now = db.clock.now();
    count(db, BUSINESS, now, "sent", 99).await;
    count(db, BUSINESS, now, "bounced_for_good", 50).await;
    count(db, BUSINESS, now, "complained", 1).await;
    assert_eq!(db.store.judge_brakes(&RULES).await.unwrap(), []);
    count(db, BUSINESS, now.minus(Duration::from_hours(20)), "sent", 1).await;
    let changed = db.store.judge_brakes(&RULES).await.unwrap();
    let states: Vec<_> = changed.iter().map(|it| (it.kind, it.state)).collect();
    assert_eq!(
        states,
        [
            (Kind::Bounce, State::Held),
            (Kind::Complaint, State::Warned)
        ]
    );
    let why = &changed[0].why;
    assert!(
        why.contains("50 of 100 emails") && why.contains("50 %"),
        "{why}"
    );
    assert_eq!(db.store.judge_brakes(&RULES).await.unwrap(), [], "once");
    assert_eq!(db.store.brakes(None).await.unwrap(), changed);
    let recorded = db.store.brake_changes(BUSINESS).await.unwrap();
    assert_eq!(recorded.len(), 2);
    assert!(recorded.iter().all(|change| change.by.is_none()));
}

async fn a_held_business_sends_what_people_wait_for_and_no_bulk_email(db: &TestDb) {
    for name in ["a", "held", "z"] {
        db.store.ensure_business(name, name).await.unwrap();
        let bulk = |mut new: sendtrail::store::enqueue::NewNotification| {
            new.priority = Priority::Bulk;
            new
        };
        let new = vec![email("C-1"), bulk(email("C-1")), bulk(sms("C-1"))];
        of(&db.store, name, new).await;
    }
    hold(db, "held").await;
    let claim = db.store.claim(wanted(Method::Email, 10)).await.unwrap();
    let bulk = claim.unwrap().jobs;
    let bulk = bulk.iter().filter(|claimed| claimed.job.lane == 2).count();
    assert_eq!(bulk, 2, "of the others");
    assert!(
        db.store
            .claim(wanted(Method::Email, 10))
            .await
            .unwrap()
            .is_none()
    );
    let sms = db.store.claim(wanted(Method::Sms, 10)).await.unwrap();
    assert_eq!(sms.unwrap().jobs.len(), 3, "no other method is held");
    assert_eq!(db.count("jobs").await, 1);
}

async fn a_lifted_brake_lets_bulk_go_and_holds_again_only_for_what_is_sent_since(db: &TestDb) {
    let mut bulk = email("C-1");
    bulk.priority = Priority::Bulk;
    of(&db.store, BUSINESS, vec![bulk]).await;
    hold(db, BUSINESS).await;
    assert!(
        db.store
            .claim(wanted(Method::Email, 10))
            .await
            .unwrap()
            .is_none()
    );
    let lifted = Lifted {
        business: BUSINESS,
        kind: Kind::Bounce,
        by: "Ana",
        reason: "the list is cleaned",
    };
    db.pass(Duration::from_mins(5));
    assert!(db.store.lift_brake(lifted).await.unwrap());
    assert!(!db.store.lift_brake(lifted).await.unwrap(), "it is off");
    let claim = db.store.claim(wanted(Method::Email, 10)).await.unwrap();
    assert_eq!(claim.unwrap().jobs.len(), 1);
    let changes = db.store.brake_changes(BUSINESS).await.unwrap();
    assert_eq!(changes[0].by.as_deref(), Some("Ana"));
    assert_eq!(changes[0].reason, "the list is cleaned");
    assert_eq!(db.store.judge_brakes(&RULES).await.unwrap(), []);
    // Well within the first hour, and after it.
    for (minutes, returned) in [(10, 9), (80, 40)] {
        let now = db.pass(Duration::from_mins(minutes));
        count(db, BUSINESS, now, "sent", 200).await;
        count(db, BUSINESS, now, "bounced_for_good", returned).await;
        db.store.judge_brakes(&RULES).await.unwrap();
        let expected = if returned > 9 { State::Held } else { State::Ok };
        assert_eq!(state(db, BUSINESS).await, expected, "{returned}");
    }
}

async fn a_warning_ends_by_itself(db: &TestDb) {
    warn(db).await;
    unwarn(db).await;
}

async fn however_many_are_in_trouble_the_last_of_them_is_judged(db: &TestDb) {
    let now = db.clock.now();
    count(db, "z", now, "sent", 200).await;
    count(db, "z", now, "bounced_for_good", 40).await;
    // A little comes back to each of the others, which have smaller ids.
    let at = Step::Hour.floor(now);
    let at = if db.is_postgres() {
        format!("'{at}'")
    } else {
        at.as_millis().to_string()
    };
    let row = |n| format!("(3600, 'b{n:04}', {at}, 'bounced_for_good', 'email', 'ses', 13, 1)");
    let rows: Vec<String> = (0..1_001).map(row).collect();
    db.execute(&format!(
        "INSERT INTO flow_counts (step_seconds, business_id, at, kind, method, subject, bucket, \
         amount) VALUES {}",
        rows.join(", ")
    ))
    .await;
    let changed = db.store.judge_brakes(&RULES).await.unwrap();
    let changed: Vec<_> = changed.iter().map(|it| (&*it.business, it.state)).collect();
    assert_eq!(changed, [("z", State::Held)]);
}

/// Every statement, for `plans`.
pub(super) async fn everything(db: &TestDb) {
    let now = db.clock.now();
    count(db, BUSINESS, now, "sent", 200).await;
    count(db, BUSINESS, now, "bounced_for_good", 40).await;
    db.store.judge_brakes(&RULES).await.unwrap();
    let lifted = Lifted {
        business: BUSINESS,
        kind: Kind::Bounce,
        by: "Ana",
        reason: "x",
    };
    db.store.claim(wanted(Method::Email, 10)).await.unwrap();
    db.store.lift_brake(lifted).await.unwrap();
    db.store.judge_brakes(&RULES).await.unwrap();
    db.store.brakes(None).await.unwrap();
    db.store.brakes_on(1).await.unwrap();
    db.store.brake_changes(BUSINESS).await.unwrap();
}
