//! What the integration tests share.

pub(crate) mod api;
pub(crate) mod db;
pub(crate) mod process;
pub(crate) mod proxy;
