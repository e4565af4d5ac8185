//! What feedback teaches the suppression list, in the commit that keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use sendtrail::domain::event::{Bounce, Failure, Severity, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::reason::Category;
use sendtrail::domain::suppression::{Bar, Reason};
use sendtrail::feedback::{Parsed, parse};
use sendtrail::store::feedback::{Happening, Kept};
use sendtrail::store::record::Then;
use sendtrail::store::suppressions::{Filter, Lift, Suppression};

use super::make::{
    BUSINESS, address, done, email, enqueued, happening, incoming, nothing_left, push, send_one,
    sms, tried, wanted,
};
use crate::support::db::{TestDb, both};

both! {
    every_report_of_ses_teaches_what_it_says,
    a_complaint_that_is_taken_back_is_lifted_whichever_comes_first,
    only_new_events_teach,
    feedback_that_came_before_its_send_teaches_when_it_is_matched,
    stop_and_tokens_that_are_gone_are_learned_from_refusals,
    a_burst_of_feedback_is_learned_in_one_commit,
    five_messages_in_a_row_that_come_back_suppress_the_address_for_a_month,
    a_message_that_arrived_in_between_begins_the_count_anew,
    an_address_taken_off_the_list_gets_five_more_chances,
}

/// What each fixture teaches; all that are not named teach nothing.
const TAUGHT: [(&str, Reason); 20] = [
    ("bounce_multi_recipient_mixed_actions", Reason::Bounce),
    ("bounce_multi_recipient_partial", Reason::Bounce),
    ("bounce_no_dsn", Reason::Bounce),
    ("bounce_permanent_EmailValidationSuppressed", Reason::Bounce),
    ("bounce_permanent_General", Reason::Bounce),
    ("bounce_permanent_NoEmail", Reason::Bounce),
    ("bounce_permanent_OnAccountSuppressionList", Reason::Bounce),
    ("bounce_permanent_OnTenantSuppressionList", Reason::Bounce),
    ("bounce_permanent_Suppressed", Reason::Bounce),
    (
        "bounce_permanent_UnsubscribedRecipient",
        Reason::Unsubscribe,
    ),
    ("bounce_recipient_case_differs", Reason::Bounce),
    ("bounce_recipient_not_in_destination_alias", Reason::Bounce),
    // Complained of once, so that SES sends no more: to us it is a bounce.
    ("complaint_OnAccountSuppressionList", Reason::Bounce),
    ("complaint_abuse", Reason::Complaint),
    ("complaint_auth-failure", Reason::Complaint),
    ("complaint_fraud", Reason::Complaint),
    ("complaint_multi_candidates_same_domain", Reason::Complaint),
    ("complaint_no_report", Reason::Complaint),
    ("complaint_other", Reason::Complaint),
    ("complaint_virus", Reason::Complaint),
];
const TAUGHT_BY_THE_REST: [(&str, Reason); 4] = [
    // Permanent, for a reason still to be invented.
    ("bounce_unknown_future_subtype", Reason::Bounce),
    ("notification_bounce", Reason::Bounce),
    ("notification_complaint", Reason::Complaint),
    ("subscription", Reason::Unsubscribe),
];

/// The files of SES events, by name.
fn fixtures() -> BTreeMap<String, String> {
    let folder = format!("{}/tests/fixtures/ses", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .filter(|(name, _)| name != "scenarios")
        .collect()
}

async fn list(db: &TestDb) -> Vec<Suppression> {
    let filter = Filter {
        limit: 200,
        ..Filter::default()
    };
    let page = db.store.suppressions(BUSINESS, &filter).await.unwrap();
    assert!(!page.more);
    page.suppressions
}

async fn tell(db: &TestDb, id: NotificationId, happenings: Vec<Happening>) -> Kept {
    let name = db.clock.new_uuid(db.clock.now()).to_string();
    let message = incoming(&name, Some(id), None, happenings);
    db.store.keep_feedback(message).await.unwrap()
}

async fn every_report_of_ses_teaches_what_it_says(db: &TestDb) {
    let mut expected: BTreeMap<&str, Reason> = TAUGHT.into();
    expected.extend(TAUGHT_BY_THE_REST);
    let fixtures = fixtures();
    assert!(fixtures.len() > 50);
    for (number, (name, text)) in fixtures.iter().enumerate() {
        let id = enqueued(&db.store, vec![email(&format!("C-{number}"))]).await[0];
        let Parsed::Report { report, .. } = parse(text, db.clock.now()) else {
            continue;
        };
        tell(db, id, report.happenings).await;
        let learned: Vec<_> = list(db)
            .await
            .into_iter()
            .filter(|entry| entry.notification == Some(id))
            .collect();
        let reasons: Vec<Reason> = learned.iter().map(|entry| entry.reason).collect();
        let wanted: Vec<Reason> = expected.remove(name.as_str()).into_iter().collect();
        assert_eq!(reasons, wanted, "{name}");
        for entry in learned {
            assert_eq!(entry.address, format!("c-{number}@example.com"), "{name}");
            assert_eq!(
                (entry.method, entry.source.as_str()),
                (Method::Email, "ses")
            );
            assert_eq!((entry.contact_type, entry.expires_at), (None, None));
        }
    }
    assert!(expected.is_empty(), "no such fixtures: {expected:?}");
}

fn complaint() -> What {
    What::Complained {
        feedback_type: Some("abuse".to_owned()),
    }
}

async fn a_complaint_that_is_taken_back_is_lifted_whichever_comes_first(db: &TestDb) {
    let now = db.clock.now();
    let complained = || happening(1, now, complaint());
    let withdrawn = || happening(2, now, What::ComplaintWithdrawn);
    let orders = [
        vec![vec![complained()], vec![withdrawn()]],
        vec![vec![withdrawn()], vec![complained()]],
        vec![vec![complained(), withdrawn()]],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        let id = enqueued(&db.store, vec![email(&format!("C-{number}"))]).await[0];
        for happenings in order {
            tell(db, id, happenings).await;
        }
        assert!(list(db).await.is_empty(), "order {number}");
    }
    // Where it stood on the list for a while, that is on record.
    let sources = "SELECT lifted_source FROM lifted_suppressions";
    assert_eq!(db.texts(sources).await.first().unwrap(), "recipient");
    // All at once, again and again.
    let ids = enqueued(&db.store, vec![email("C-9"); 20]).await;
    for id in &ids {
        let delivered = What::Delivered { response: None };
        tell(db, *id, vec![happening(3, now, delivered)]).await;
    }
    let other = db.another_store().await;
    let mut calls = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        for (j, what) in [complained(), withdrawn()].into_iter().enumerate() {
            let store = if (i + j) % 2 == 0 {
                db.store.clone()
            } else {
                other.clone()
            };
            let message = incoming(&format!("{i} {j}"), Some(*id), None, vec![what]);
            calls.push(tokio::spawn(
                async move { store.keep_feedback(message).await },
            ));
        }
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!(list(db).await.is_empty());
    // The complaint about another message stands.
    let ids = enqueued(&db.store, vec![email("C-5"); 2]).await;
    tell(db, ids[0], vec![complained()]).await;
    tell(db, ids[1], vec![withdrawn()]).await;
    assert_eq!(list(db).await.len(), 1);
    other.close().await;
}

async fn only_new_events_teach(db: &TestDb) {
    let now = db.clock.now();
    let id = enqueued(&db.store, vec![email("C-1")]).await[0];
    tell(db, id, vec![happening(1, now, complaint())]).await;
    assert_eq!(list(db).await.len(), 1);
    let lift = Lift {
        business: BUSINESS,
        address: &address(Method::Email, "c-1@example.com"),
        contact_type: None,
        reason: None,
        source: "staff",
        staff_id: None,
        note: None,
    };
    assert_eq!(db.store.lift(lift).await.unwrap().len(), 1);
    let again = tell(db, id, vec![happening(1, now, complaint())]).await;
    assert_eq!(again, Kept::Applied { new_events: 0 });
    assert!(list(db).await.is_empty(), "told twice, happened once");
    tell(db, id, vec![happening(2, now, complaint())]).await;
    assert_eq!(list(db).await.len(), 1, "a new complaint");
}

async fn feedback_that_came_before_its_send_teaches_when_it_is_matched(db: &TestDb) {
    let now = db.clock.now();
    enqueued(&db.store, vec![email("C-1")]).await;
    let early = incoming(
        "m1",
        None,
        Some("p-1"),
        vec![happening(1, now, complaint())],
    );
    assert_eq!(
        db.store.keep_feedback(early).await.unwrap(),
        Kept::Unmatched
    );
    assert!(list(db).await.is_empty());
    send_one(&db.store, now, "p-1").await;
    let learned = list(db).await;
    assert_eq!(learned.len(), 1);
    assert_eq!(learned[0].address, "c-1@example.com");
}

async fn stop_and_tokens_that_are_gone_are_learned_from_refusals(db: &TestDb) {
    let failure = |category, code: &str| Failure {
        category,
        code: Some(code.to_owned()),
        provider_text: None,
    };
    let cases = [
        (sms("C-1"), failure(Category::InvalidAddress, "21211"), None),
        (
            sms("C-1"),
            failure(Category::Unsubscribed, "21610"),
            Some(Reason::Stop),
        ),
        (
            push("C-1"),
            failure(Category::InvalidAddress, "EndpointDisabled"),
            None,
        ),
        (
            push("C-1"),
            failure(Category::ContentRejected, "INVALID_ARGUMENT"),
            None,
        ),
        (
            push("C-1"),
            failure(Category::DeviceGone, "unregistered"),
            Some(Reason::Unregistered),
        ),
        (
            email("C-1"),
            failure(Category::ContentRejected, "MessageRejected"),
            None,
        ),
    ];
    for (new, failure, expected) in cases {
        let method = new.method;
        let id = enqueued(&db.store, vec![new]).await[0];
        let claim = db.store.claim(wanted(method, 10)).await.unwrap().unwrap();
        let tried = tried(db.clock.now(), "rejected");
        let code = failure.code.clone();
        let done = done(&claim, &claim.jobs[0], tried, Then::Rejected(failure));
        db.store
            .record(&[done], &nothing_left(&claim))
            .await
            .unwrap();
        let mut learned = list(db).await.into_iter();
        let learned = learned.find(|entry| entry.notification == Some(id));
        assert_eq!(learned.map(|entry| entry.reason), expected, "{code:?}");
    }
    // A carrier that reports it later, as SNS does.
    let number = address(Method::Sms, "+14155550199");
    let mut new = sms("C-2");
    new.to = Some(number.clone());
    let id = enqueued(&db.store, vec![new]).await[0];
    let opted_out = What::Unsubscribed { how: None };
    tell(db, id, vec![happening(1, db.clock.now(), opted_out)]).await;
    let mut learned = list(db).await.into_iter();
    let learned = learned.find(|entry| entry.address == number.compared());
    assert_eq!(learned.map(|entry| entry.reason), Some(Reason::Stop));
}

async fn a_burst_of_feedback_is_learned_in_one_commit(db: &TestDb) {
    const MESSAGES: usize = 120;
    let new = (0..MESSAGES).map(|i| email(&format!("C-{}", i % 40)));
    let ids = enqueued(&db.store, new.collect()).await;
    let now = db.pass(Duration::from_secs(1));
    let calls = ids.iter().enumerate().map(|(i, id)| {
        let event = happening(1, now, complaint());
        db.store
            .keep_feedback(incoming(&format!("m{i}"), Some(*id), None, vec![event]))
    });
    for kept in futures_util::future::join_all(calls).await {
        assert_eq!(kept.unwrap(), Kept::Applied { new_events: 1 });
    }
    assert_eq!(list(db).await.len(), 40, "one for each address");
}

fn soft_bounce(severity: Severity, category: Category) -> What {
    What::Bounced(Bounce {
        severity,
        category,
        subtype: None,
        status: None,
        diagnostic: None,
    })
}

fn full() -> What {
    soft_bounce(Severity::Transient, Category::MailboxFull)
}

/// A message to the client that ends like this, half a day after it was enqueued.
async fn message(db: &TestDb, client: &str, what: What) -> NotificationId {
    let id = enqueued(&db.store, vec![email(client)]).await[0];
    let now = db.pass(Duration::from_hours(12));
    tell(db, id, vec![happening(1, now, what)]).await;
    id
}

async fn reasons(db: &TestDb) -> Vec<Reason> {
    list(db)
        .await
        .into_iter()
        .map(|entry| entry.reason)
        .collect()
}

async fn five_messages_in_a_row_that_come_back_suppress_the_address_for_a_month(db: &TestDb) {
    let kinds = [
        full(),
        soft_bounce(Severity::Undetermined, Category::Unknown),
        // The message's own fault: it does not count, and does not end the row.
        soft_bounce(Severity::Transient, Category::ContentRejected),
        full(),
        full(),
    ];
    for what in kinds {
        message(db, "C-1", what).await;
        assert_eq!(reasons(db).await, []);
    }
    let fifth = message(db, "C-1", full()).await;
    let list = list(db).await;
    let [entry] = list.as_slice() else {
        panic!("{list:?}")
    };
    assert_eq!(entry.reason, Reason::SoftBounce);
    assert_eq!(entry.notification, Some(fifth));
    let month = Duration::from_hours(30 * 24);
    assert_eq!(entry.expires_at, Some(entry.created_at.plus(month)));

    let barred = enqueued(&db.store, vec![email("C-1")]).await[0];
    let claim = db
        .store
        .claim(wanted(Method::Email, 50))
        .await
        .unwrap()
        .unwrap();
    let job = claim.jobs.iter().find(|job| job.job.id == barred).unwrap();
    assert_eq!(job.bar, Some(Bar::Suppressed(Reason::SoftBounce)));
    db.pass(month + Duration::from_hours(1));
    assert_eq!(reasons(db).await, []);
}

async fn a_message_that_arrived_in_between_begins_the_count_anew(db: &TestDb) {
    let delivered = What::Delivered { response: None };
    for round in 0..3 {
        for _ in 0..4 {
            message(db, "C-1", full()).await;
        }
        assert_eq!(reasons(db).await, [], "round {round}");
        message(db, "C-1", delivered.clone()).await;
    }
    // And what came back more than a month ago does not count.
    for _ in 0..4 {
        message(db, "C-1", full()).await;
    }
    db.pass(Duration::from_hours(31 * 24));
    message(db, "C-1", full()).await;
    assert_eq!(reasons(db).await, []);
}

async fn an_address_taken_off_the_list_gets_five_more_chances(db: &TestDb) {
    for _ in 0..5 {
        message(db, "C-1", full()).await;
    }
    assert_eq!(reasons(db).await, [Reason::SoftBounce]);
    let to = address(Method::Email, "c-1@example.com");
    let lift = Lift {
        business: BUSINESS,
        address: &to,
        contact_type: None,
        reason: Some(Reason::SoftBounce),
        source: "staff",
        staff_id: Some("S-7"),
        note: None,
    };
    db.store.lift(lift).await.unwrap();
    for _ in 0..4 {
        message(db, "C-1", full()).await;
        assert_eq!(reasons(db).await, []);
    }
    message(db, "C-1", full()).await;
    assert_eq!(reasons(db).await, [Reason::SoftBounce]);
}
