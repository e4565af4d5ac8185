//! The contract of the store: every function, on both databases.

pub(crate) mod make;

mod alarms;
mod buried;
mod claim;
mod clients;
mod content;
mod enqueue;
mod facts;
mod feedback;
mod held;
mod history;
mod inbound;
mod inbox;
mod keys;
mod lessons;
mod opt_outs;
mod plans;
mod providers;
mod receipts;
mod record;
mod repeat;
mod reports;
mod rescue;
mod retention;
mod schema;
mod staff;
mod stress;
mod suppressions;
mod tracking;
mod trouble;
mod turns;
mod unmatched;
mod verify;
mod view;
mod webhooks;
mod work;
