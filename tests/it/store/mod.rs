//! The contract of the store: every function, on both databases.

mod make;

mod claim;
mod enqueue;
mod facts;
mod feedback;
mod held;
mod history;
mod keys;
mod plans;
mod record;
mod repeat;
mod rescue;
mod schema;
mod stress;
mod trouble;
mod turns;
mod view;
mod work;
