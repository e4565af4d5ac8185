//! **sendtrail** delivers notifications and keeps the trail. The modules in reading order; each may
//! import only those below it (`tests/tidy.rs` checks).

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod domain;
pub mod feedback;
pub mod metrics;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod web;
