//! What providers tell us afterwards.

pub mod sns;
