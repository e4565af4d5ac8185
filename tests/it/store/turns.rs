//! Whose turn it is: businesses share every claim of a lane, by number and by bytes.

use std::collections::{BTreeMap, BTreeSet};

use sendtrail::domain::id::NotificationId;
use sendtrail::domain::message::Content;
use sendtrail::domain::method::{Method, Priority};
use sendtrail::store::Store;
use sendtrail::store::enqueue::{ContentSource, NewNotification};
use sendtrail::store::jobs::{Claim, Wanted};

use super::make::{backlog, email, enqueued, of, wanted};
use crate::support::db::{TestDb, both};

both! {
    a_backlog_of_one_business_delays_no_other_by_more_than_a_claim,
    businesses_share_a_claim_equally_and_leave_nothing_of_it,
    thousands_of_businesses_take_turns,
    a_higher_lane_goes_first_whosever_it_is,
    a_claim_takes_no_more_content_than_its_limit,
    a_message_larger_than_the_limit_goes_alone,
    a_large_backlog_of_content_does_not_hold_up_a_small_message,
}

async fn business(store: &Store, id: &str) {
    store.ensure_business(id, id).await.unwrap();
}

async fn claim(store: &Store, limit: usize) -> Claim {
    let claim = store.claim(wanted(Method::Email, limit)).await.unwrap();
    claim.expect("a ready job")
}

fn ids(claim: &Claim) -> BTreeSet<NotificationId> {
    claim.jobs.iter().map(|claimed| claimed.job.id).collect()
}

async fn a_backlog_of_one_business_delays_no_other_by_more_than_a_claim(db: &TestDb) {
    business(&db.store, "loud").await;
    backlog(db, "loud", 100_000).await;
    for name in ["a-quiet", "z-quiet"] {
        business(&db.store, name).await;
        let quiet = of(&db.store, name, vec![email("C-2")]).await;
        let next = claim(&db.store, 200).await;
        assert!(ids(&next).contains(&quiet[0]), "{name} waits");
        assert_eq!(next.jobs.len(), 200, "and the rest is not left unused");
        assert_eq!(
            next.jobs[1].job.id.max(next.jobs[0].job.id),
            quiet[0],
            "among the first"
        );
    }
    let alone = claim(&db.store, 200).await;
    assert_eq!(alone.jobs.len(), 200);
}

async fn businesses_share_a_claim_equally_and_leave_nothing_of_it(db: &TestDb) {
    let mut owners = BTreeMap::new();
    for (name, count) in [("a", 50), ("b", 3), ("c", 50)] {
        business(&db.store, name).await;
        for id in of(&db.store, name, vec![email("C-1"); count]).await {
            owners.insert(id, name);
        }
    }
    for (a, b, c) in [(14, 3, 13), (15, 0, 15), (15, 0, 15), (6, 0, 7)] {
        let next = claim(&db.store, 30).await;
        let mut shares = BTreeMap::new();
        for id in ids(&next) {
            *shares.entry(owners[&id]).or_insert(0) += 1;
        }
        let share = |name| shares.get(name).copied().unwrap_or(0);
        assert_eq!((share("a"), share("b"), share("c")), (a, b, c));
    }
}

async fn thousands_of_businesses_take_turns(db: &TestDb) {
    const BUSINESSES: usize = 2_000;
    enqueued(&db.store, vec![email("C-1")]).await;
    let sql = (0..BUSINESSES).map(|i| {
        format!(
            "INSERT INTO jobs (id, business_id, method, lane, due_at, ready, attempts, failures, bytes) \
             SELECT '00000000-0000-7000-8000-{i:06}00000{n}', 'b-{i}', j.method, j.lane, j.due_at, \
             j.ready, 0, 0, 0 FROM jobs j WHERE j.business_id = 'default';",
            n = 1
        )
    });
    db.execute(&sql.collect::<String>()).await;
    // As many again of one of them.
    business(&db.store, "b-1000").await;
    backlog(db, "b-1000", BUSINESSES).await;
    db.execute("DELETE FROM jobs WHERE business_id = 'default'")
        .await;
    let mut served = BTreeSet::new();
    // 100 businesses a claim, two rounds with all who came later.
    for _ in 0..=BUSINESSES / 100 {
        let before = db.texts("SELECT DISTINCT business_id FROM jobs").await;
        claim(&db.store, 200).await;
        let after = db.texts("SELECT DISTINCT business_id FROM jobs").await;
        let after: BTreeSet<String> = after.into_iter().collect();
        served.extend(before.into_iter().filter(|name| !after.contains(name)));
    }
    assert!(
        served.len() >= BUSINESSES - 1,
        "{} were served",
        served.len()
    );
}

async fn a_higher_lane_goes_first_whosever_it_is(db: &TestDb) {
    for name in ["a", "b"] {
        business(&db.store, name).await;
    }
    let bulk = |priority| NewNotification {
        priority,
        ..email("C-1")
    };
    of(&db.store, "a", vec![bulk(Priority::Bulk); 5]).await;
    let high = of(&db.store, "b", vec![bulk(Priority::High); 5]).await;
    let first = claim(&db.store, 5).await;
    assert_eq!(ids(&first), high.into_iter().collect());
}

fn large(bytes: usize) -> NewNotification {
    NewNotification {
        content: ContentSource::New(Content::Email {
            subject: "Large".to_owned(),
            text: Some("x".repeat(bytes)),
            html: None,
            reply_to: None,
            attachments: Vec::new(),
        }),
        ..email("C-1")
    }
}

async fn claim_bytes(store: &Store, bytes_max: u64) -> Claim {
    let wanted = Wanted {
        bytes_max,
        ..wanted(Method::Email, 200)
    };
    store.claim(wanted).await.unwrap().expect("a ready job")
}

async fn a_claim_takes_no_more_content_than_its_limit(db: &TestDb) {
    let all = enqueued(&db.store, vec![large(100_000); 25]).await;
    let mut claimed = BTreeSet::new();
    for expected in [10, 10, 5] {
        let next = claim_bytes(&db.store, 1_000_000).await;
        assert_eq!(next.jobs.len(), expected);
        assert!(next.jobs.iter().all(|job| job.bytes == 100_000));
        claimed.extend(ids(&next));
    }
    assert_eq!(claimed, all.into_iter().collect());
    assert_eq!(db.count("jobs").await, 0);
    // A resend of the same content is as large.
    let resend = NewNotification {
        content: ContentSource::Frozen(claimed.first().unwrap().uuid()),
        ..email("C-1")
    };
    enqueued(&db.store, vec![resend; 2]).await;
    assert_eq!(claim_bytes(&db.store, 199_999).await.jobs.len(), 1);
}

async fn a_message_larger_than_the_limit_goes_alone(db: &TestDb) {
    enqueued(&db.store, vec![large(50_000), email("C-1")]).await;
    let first = claim_bytes(&db.store, 10_000).await;
    assert_eq!(first.jobs.len(), 1);
    assert_eq!(first.jobs[0].bytes, 50_000);
    assert_eq!(claim_bytes(&db.store, 10_000).await.jobs.len(), 1);
}

async fn a_large_backlog_of_content_does_not_hold_up_a_small_message(db: &TestDb) {
    business(&db.store, "z").await;
    enqueued(&db.store, vec![large(100_000); 30]).await;
    let small = of(&db.store, "z", vec![email("C-1")]).await;
    let next = claim_bytes(&db.store, 1_000_000).await;
    assert!(ids(&next).contains(&small[0]));
}
