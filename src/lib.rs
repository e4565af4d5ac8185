//! **sendtrail** delivers notifications and keeps the trail. The modules in reading order; each may
//! import only what stands below it (`tests/tidy` checks exactly which).

pub mod cli;

pub mod app;

pub mod config;

pub mod telemetry;

pub mod intake;

pub mod api;

pub mod export;

pub mod web;

pub mod webhooks;

pub mod delivery;

pub mod feedback;

pub mod sandbox;

pub mod transport;

pub mod smtpd;

pub mod traces;

pub mod metrics;

pub mod store;

pub mod template;

pub mod clock;

mod fault;

pub mod domain;
