//! The program's parts working together, each on a database of its own.

// `cfg(test)` tells the lints that this is test code, its helpers included.
#[cfg(test)]
mod api;
#[cfg(test)]
mod support;
