//! The contract of the store: every function, on both databases.

mod make;

mod claim;
mod enqueue;
mod facts;
mod feedback;
mod history;
mod keys;
mod plans;
mod record;
mod rescue;
mod retention;
mod schema;
mod stress;
mod trouble;
mod unmatched;
mod view;
mod work;
