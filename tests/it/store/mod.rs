//! The contract of the store: every function, on both databases.

mod make;

mod enqueue;
