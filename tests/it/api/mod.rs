//! The JSON API, called in this process.

mod access;
mod clients;
mod enqueue;
mod entries;
mod history;
mod resend;
mod suppressions;
mod validation;
