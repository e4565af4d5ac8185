//! The contract of the store: every function, on both databases.

pub(crate) mod make;

mod buried;
mod claim;
mod enqueue;
mod facts;
mod feedback;
mod history;
mod keys;
mod plans;
mod record;
mod rescue;
mod schema;
mod stress;
mod trouble;
mod view;
mod work;
