//! How work and feedback arrive besides HTTP: from queues. The application's own transaction is another way
//! (`sendtrail_enqueue` in PostgreSQL), and needs nothing here.

mod feedback;
mod queue;
mod settings;
mod sqs;

pub use feedback::FeedbackConsumer;
pub use queue::{Running, check};
pub use settings::{Queue, SqsSettings};
pub use sqs::{Consumer, derived_key};
