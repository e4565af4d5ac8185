//! The whole program: stories from the call to the status, kills, outages, several workers, hostile
//! feedback, the command line.

mod by_sql;
mod child;
mod cli;
mod client;
mod files;
mod forged;
mod kill;
mod localstack;
mod outage;
mod program;
mod proxy;
mod queue;
mod secrecy;
mod signed;
mod sink;
mod sqs;
mod stories;
mod workers;
