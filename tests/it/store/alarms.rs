//! Alarms that last, providers that fall silent, and failures by their causes.

use std::time::Duration;

use sendtrail::domain::alarm::Kind;
use sendtrail::domain::event::{Bounce, Failure, Severity, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::reason::Category;
use sendtrail::store::failures::Asked;
use sendtrail::store::record::Then;

use super::make::{
    BUSINESS, claimed, done, email, enqueued, happening, incoming, nothing_left, of, send_one,
    tried,
};
use crate::support::db::{TestDb, both};

both! {
    an_alarm_lasts_while_it_is_raised_again_and_is_over_when_cleared,
    a_provider_that_tells_nothing_of_twenty_messages_is_silent,
    what_failed_is_grouped_by_its_cause_within_the_business_and_the_time,
}

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:ses-feedback";
const MINUTE: Duration = Duration::from_mins(1);

async fn alarms(db: &TestDb) -> Vec<(Kind, String)> {
    let alarms = db.store.alarms().await.unwrap();
    alarms
        .into_iter()
        .map(|alarm| (alarm.kind, alarm.subject))
        .collect()
}

async fn an_alarm_lasts_while_it_is_raised_again_and_is_over_when_cleared(db: &TestDb) {
    let (kind, other) = (Kind::SubscriptionMissing, Kind::SubscriptionPending);
    let began = db.clock.now();
    for _ in 0..3 {
        db.store.raise(kind, TOPIC).await.unwrap();
        let alarms = db.store.alarms().await.unwrap();
        assert_eq!(alarms.len(), 1);
        assert_eq!((alarms[0].kind, alarms[0].since), (kind, began));
        db.pass(30 * MINUTE);
    }
    // Whoever raised it may be gone.
    db.pass(6 * MINUTE);
    assert_eq!(alarms(db).await, []);
    db.store.raise(kind, TOPIC).await.unwrap();
    let again = db.store.alarms().await.unwrap();
    assert_eq!(again[0].since, db.clock.now(), "a new one");
    db.store.raise(other, TOPIC).await.unwrap();
    db.store.clear(kind, TOPIC).await.unwrap();
    db.store.clear(kind, "another").await.unwrap();
    assert_eq!(alarms(db).await, [(other, TOPIC.to_owned())]);
}

/// So many emails that SES took over.
pub(super) async fn taken_over(db: &TestDb, count: usize) -> Vec<NotificationId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.extend(enqueued(&db.store, vec![email("C-1")]).await);
        let name = db.clock.new_uuid(db.clock.now()).to_string();
        send_one(&db.store, db.clock.now(), &name).await;
    }
    ids
}

pub(super) async fn tell(db: &TestDb, id: NotificationId, what: What) {
    let name = db.clock.new_uuid(db.clock.now()).to_string();
    let happenings = vec![happening(1, db.clock.now(), what)];
    let message = incoming(&name, Some(id), None, happenings);
    db.store.keep_feedback(message).await.unwrap();
}

async fn a_provider_that_tells_nothing_of_twenty_messages_is_silent(db: &TestDb) {
    let delivered = || What::Delivered { response: None };
    let silent = [(Kind::FeedbackSilent, "ses".to_owned())];
    let old = taken_over(db, 1).await;
    tell(db, old[0], delivered()).await;
    let ids = taken_over(db, 19).await;
    db.pass(16 * MINUTE);
    assert_eq!(alarms(db).await, [], "it told of one of the last twenty");
    taken_over(db, 1).await;
    assert_eq!(alarms(db).await, [], "there is time yet");
    db.pass(16 * MINUTE);
    assert_eq!(alarms(db).await, silent);
    tell(db, ids[7], delivered()).await;
    assert_eq!(alarms(db).await, [], "it speaks again");
    taken_over(db, 20).await;
    db.pass(16 * MINUTE);
    assert_eq!(alarms(db).await, silent);
    db.pass(Duration::from_hours(25));
    assert_eq!(alarms(db).await, [], "nothing was sent lately");
}

async fn what_failed_is_grouped_by_its_cause_within_the_business_and_the_time(db: &TestDb) {
    let began = db.clock.now();
    let rejected = |code: &str| {
        Then::Rejected(Failure {
            category: Category::ContentRejected,
            code: Some(code.to_owned()),
            provider_text: Some("words with an address in them".to_owned()),
        })
    };
    let mut ids = Vec::new();
    for code in ["550", "550", "554"] {
        ids.extend(enqueued(&db.store, vec![email("C-1")]).await);
        let claim = claimed(&db.store).await;
        let attempt = tried(db.pass(MINUTE), "rejected");
        let done = done(&claim, &claim.jobs[0], attempt, rejected(code));
        let left = nothing_left(&claim);
        db.store.record(&[done], &left).await.unwrap();
    }
    let well = taken_over(db, 2).await;
    let bounce = Bounce {
        severity: Severity::Transient,
        category: Category::MailboxFull,
        subtype: Some("MailboxFull".to_owned()),
        status: None,
        diagnostic: None,
    };
    tell(db, well[0], What::Bounced(bounce)).await;
    db.store.ensure_business("other", "Other").await.unwrap();
    of(&db.store, "other", vec![email("C-1")]).await;
    let now = db.pass(MINUTE);

    let asked = Asked::all(began, now);
    let found = db.store.failures(BUSINESS, &asked).await.unwrap();
    assert_eq!((found.looked_at, found.more), (5, false));
    let groups: Vec<_> = found
        .groups
        .iter()
        .map(|group| {
            (
                group.cause.bounced,
                group.cause.code.as_deref(),
                group.count,
            )
        })
        .collect();
    assert_eq!(groups.len(), 3);
    assert_eq!(groups[0], (false, Some("550"), 2));
    assert!(groups.contains(&(false, Some("554"), 1)));
    assert!(groups.contains(&(true, Some("MailboxFull"), 1)));
    let first = &found.groups[0];
    assert_eq!(first.cause.provider.as_deref(), Some("ses"));
    assert_eq!(first.cause.category, Category::ContentRejected);
    assert_eq!(first.samples, [ids[1], ids[0]]);
    assert!(first.first_at < first.last_at);

    let other = db.store.failures("other", &asked).await.unwrap();
    assert_eq!((other.groups.len(), other.looked_at), (0, 1));
    // Of whole hours.
    let next = found.to;
    let later = Asked::all(next, next.plus(MINUTE));
    let later = db.store.failures(BUSINESS, &later).await.unwrap();
    assert_eq!((later.groups.len(), later.looked_at), (0, 0));
}
