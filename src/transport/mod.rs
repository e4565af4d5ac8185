//! How messages leave: one module per provider.

mod aws;
mod header;
mod mime;
pub mod segments;
mod ses;
mod settings;
mod smtp;
mod sns;
#[cfg(test)]
mod tests;
mod words;

pub use aws::Access as AwsAccess;
pub use mime::EmailSettings;
pub use ses::{Ses, SesSettings};
pub use settings::Problem;
pub use smtp::{Smtp, SmtpSettings};
pub use sns::{SmsType, SnsPush, SnsSettings, SnsSms};

use crate::domain::message::{Content, Outgoing};
use crate::domain::outcome::{Outcome, Trouble};

/// One way for messages of one method to leave. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub enum Transport {
    Ses(Ses),
    Smtp(Smtp),
    SnsSms(SnsSms),
    SnsPush(SnsPush),
}

impl Transport {
    /// Makes one attempt, bounded by the transport's time-outs. Never retries what may have been
    /// seen by the provider.
    pub async fn send(&self, message: &Outgoing) -> Outcome {
        match self {
            Self::Ses(ses) => ses.send(message).await,
            Self::Smtp(smtp) => smtp.send(message).await,
            Self::SnsSms(sns) => sns.send(message).await,
            Self::SnsPush(sns) => sns.send(message).await,
        }
    }

    /// The provider's word in the ledger, the metrics and the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ses(_) => "ses",
            Self::Smtp(_) => "smtp",
            Self::SnsSms(_) | Self::SnsPush(_) => "sns",
        }
    }

    /// An open of this content would be reported to us.
    pub fn opens_tracked(&self, content: &Content) -> bool {
        match self {
            Self::Ses(ses) => ses.opens_tracked(content),
            Self::Smtp(_) | Self::SnsSms(_) | Self::SnsPush(_) => false,
        }
    }

    /// Is the provider reachable, and does it accept us? Sends nothing.
    pub async fn check(&self) -> Result<(), Trouble> {
        match self {
            Self::Ses(ses) => ses.check().await,
            Self::Smtp(smtp) => smtp.check().await,
            Self::SnsSms(sns) => sns.check().await,
            Self::SnsPush(sns) => sns.check().await,
        }
    }
}
