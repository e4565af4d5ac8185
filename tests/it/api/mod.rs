//! The JSON API, called in this process.

mod access;
mod attachments;
mod business;
mod clients;
mod contact_log;
mod enqueue;
mod entries;
mod failures;
mod feedback;
mod history;
mod matrix;
mod providers;
mod rendering;
mod reports;
mod resend;
mod stats;
mod suppressions;
mod tasks;
mod templates;
pub(crate) mod validation;
mod waiting;
mod webhooks;
