//! What a provider's own suppression list says: addresses to which the provider sends nothing, whoever
//! in the account asks it to.

use super::suppression::Reason;
use super::time::Timestamp;

/// An address on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub address: String,
    /// A bounce or a complaint.
    pub reason: Reason,
    pub since: Timestamp,
}

/// One page of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub listed: Vec<Listed>,
    /// Asks for the next page.
    pub next: Option<String>,
}

/// The provider did not answer as it should; the word names no address.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the provider's suppression list cannot be had ({0})")]
pub struct Trouble(pub &'static str);
