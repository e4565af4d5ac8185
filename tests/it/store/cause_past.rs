//! Failures that workers of an older version record beside new ones.

use std::time::Duration;

use sendtrail::domain::event::What;
use sendtrail::store::cause_past::Past;
use sendtrail::store::failures::Group;
use uuid::Uuid;

use super::causes::{bounced, given_up, groups, tell};
use super::make::{BUSINESS, email, enqueued};
use crate::support::db::{TestDb, both};

both!(what_old_workers_record_during_a_deploy_is_taken_in_when_it_is_over);

async fn what_old_workers_record_during_a_deploy_is_taken_in_when_it_is_over(db: &TestDb) {
    let new = (0..5).map(|_| email("C-1")).collect();
    let ids = enqueued(&db.store, new).await;
    for (key, id) in (100..).zip(&ids) {
        let taken = What::Accepted {
            provider: "ses".to_owned(),
            provider_message_id: None,
            opens_tracked: false,
        };
        tell(db, key, *id, taken).await;
    }
    tell(db, 1, ids[0], bounced("552 full".to_owned())).await;
    while db.store.take_in_past(2).await.unwrap() == Past::More {}
    // As old ones would: with facts, in no cause.
    for (key, id) in [(2, ids[1]), (3, ids[4])] {
        tell(db, key, id, bounced("552 full".to_owned())).await;
    }
    tell(db, 4, ids[2], given_up("421 lost".to_owned())).await;
    let known = |groups: Vec<Group>| -> Vec<(Uuid, i64)> {
        groups.iter().map(|it| (it.id, it.count)).collect()
    };
    let all = known(groups(db, BUSINESS).await);
    assert_eq!(all.iter().map(|(_, count)| count).sum::<i64>(), 4);
    let first = ids[0].uuid();
    db.execute(&format!(
        "DELETE FROM cause_entries WHERE CAST(notification_id AS text) <> '{first}'"
    ))
    .await;
    db.execute("DELETE FROM failure_causes WHERE NOT bounced")
        .await;
    db.execute("DELETE FROM cause_counts").await;
    // The words of the known one went with its client.
    db.execute(
        "UPDATE delivery_facts SET bounced_text = NULL WHERE bounced_key IS NOT NULL \
                AND notification_id IN (SELECT notification_id FROM cause_entries)",
    )
    .await;
    db.pass(Duration::from_hours(23));
    let past = db.store.take_in_past(2).await.unwrap();
    assert_eq!(past, Past::Later(Duration::from_hours(1)));
    db.pass(Duration::from_hours(1));
    while db.store.take_in_past(2).await.unwrap() == Past::More {}
    assert_eq!(db.count("cause_entries").await, 4);
    assert_eq!(
        db.count("failure_causes").await,
        2,
        "none is made of a known one"
    );
    let sum = db
        .texts("SELECT CAST(CAST(SUM(failed) AS bigint) AS text) FROM cause_counts")
        .await;
    assert_eq!(sum, ["3"], "those that were in no cause");
    db.pass(Duration::from_hours(48));
    assert_eq!(db.store.take_in_past(2).await.unwrap(), Past::Done);
}
