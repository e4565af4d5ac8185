//! The integration tests: against real databases and real peers, and through the front door. One
//! binary, so that it is linked once.

// `cfg(test)` tells the lints that this is test code, its helpers included.
#[cfg(test)]
mod api;
#[cfg(test)]
mod aws_page;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(crate) mod peers_aws;
#[cfg(test)]
mod peers_files;
#[cfg(test)]
mod peers_smtp;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod system;
