//! **sendtrail** delivers notifications and keeps the trail. The modules in reading order; each may
//! import only those below it (`tests/tidy.rs` checks).

pub mod api;
pub mod clock;
pub mod domain;
pub mod feedback;
pub mod sandbox;
pub mod store;
pub mod transport;
