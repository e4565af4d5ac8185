//! `sendtrail_enqueue` in PostgreSQL: as an application calls it, and beside the HTTP call.

mod agree;
mod bodies;
mod caller;
mod mails;
mod rights;
mod transaction;
