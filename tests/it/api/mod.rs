//! The JSON API, called in this process.

mod access;
mod enqueue;
mod entries;
mod history;
mod resend;
pub(crate) mod validation;
