//! The whole program: stories from the call to the status, kills, outages, several workers, hostile
//! feedback, the command line.

mod by_sql;
mod child;
mod cli;
mod client;
mod clock;
mod content;
mod crash;
mod failover;
mod feedback_sqs;
mod files;
mod forged;
mod held;
mod inbox;
mod kill;
mod leaving;
mod localstack;
mod many;
mod many_events;
mod outage;
mod poison;
mod program;
mod providers;
mod proxy;
mod queue;
mod rate;
mod secrecy;
mod signed;
mod sink;
mod sqs;
mod sqs_queue;
mod stories;
mod upkeep;
mod ways;
mod workers;
