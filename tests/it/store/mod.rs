//! The contract of the store: every function, on both databases.

mod make;

mod claim;
mod enqueue;
mod facts;
mod feedback;
mod record;
mod rescue;
