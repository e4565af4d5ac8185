//! Against real peers and through the front door; one binary, so that it is linked once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is tests; the lint knows only functions marked as such"
)]

mod peers_aws;
mod peers_smtp;
mod support;
mod system;
