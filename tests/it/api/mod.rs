//! The JSON API, called in this process.

mod access;
mod attachments;
mod business;
mod enqueue;
mod entries;
mod history;
mod rendering;
mod resend;
mod templates;
mod validation;
