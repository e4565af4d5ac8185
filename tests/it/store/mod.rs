//! The contract of the store: every function, on both databases.

pub(crate) mod make;

use sendtrail::domain::id::NotificationId;

use crate::support::db::TestDb;

mod alarms;
mod backup;
mod brakes;
mod browse;
mod buried;
mod by_hand;
mod cause_past;
mod causes;
mod claim;
mod clients;
mod content;
mod enqueue;
mod erasures;
mod exports;
mod facts;
mod feedback;
mod find;
mod flow;
mod frozen;
mod held;
mod hindrance;
mod history;
mod inbound;
mod inbox;
mod keys;
mod lessons;
mod lived;
mod matters;
mod old_causes;
mod opt_outs;
mod plans;
mod providers;
mod pruning;
mod receipts;
mod record;
mod repeat;
mod reports;
mod rescue;
mod resend_runs;
mod retention;
mod schema;
mod staff;
mod staff_identities;
mod steps;
mod stress;
mod suppressions;
mod tags;
mod told;
mod tracking;
mod trouble;
mod turns;
mod unmatched;
mod verify;
mod view;
mod webhooks;
mod work;

/// Every statement behind the pages of people, for `plans`.
async fn of_people(db: &TestDb, id: NotificationId) {
    plans::visits(db, id).await;
    staff::everything(db).await;
    exports::everything(db).await;
    matters::everything(db).await;
    browse::everything(db).await;
    find::everything(db).await;
    tags::everything(db).await;
    resend_runs::everything(db).await;
    by_hand::everything(db).await;
    causes::everything(db).await;
    staff_identities::everything(db).await;
    flow::everything(db).await;
    brakes::everything(db).await;
    erasures::everything(db).await;
    pruning::everything(db).await;
    old_causes::everything(db).await;
    frozen::everything(db).await;
}
