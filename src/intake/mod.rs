//! How work arrives besides HTTP: from queues. The application's own transaction is another way
//! (`sendtrail_enqueue` in PostgreSQL), and needs nothing here.

mod settings;
mod sqs;

pub use settings::{Queue, SqsSettings};
pub use sqs::{Consumer, Running, check, derived_key};
