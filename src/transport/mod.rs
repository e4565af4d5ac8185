//! How messages leave: one module per provider.

mod answer;
mod apns;
mod aws;
mod body;
mod fcm;
mod header;
mod http;
mod jwt;
mod mime;
mod push;
pub mod segments;
mod ses;
mod ses_account_list;
pub mod ses_condition;
mod settings;
mod smtp;
mod sns;
#[cfg(test)]
mod tests;
mod tracked;
pub mod twilio;
mod words;

pub use apns::{Apns, ApnsSettings};
pub use aws::Access as AwsAccess;
pub use fcm::{Fcm, FcmSettings};
pub use mime::EmailSettings;
pub use ses::{Ses, SesSettings};
pub use ses_account_list::AccountList;
pub use settings::Problem;
pub use smtp::{Smtp, SmtpSettings};
pub use sns::{SmsType, SnsPush, SnsSettings, SnsSms};
pub use twilio::{Twilio, TwilioSettings};

use crate::domain::form::Form;
use crate::domain::message::Outgoing;
use crate::domain::outcome::{Outcome, Trouble};

/// One way for messages of one method to leave. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub enum Transport {
    Ses(Ses),
    Smtp(Smtp),
    SnsSms(SnsSms),
    SnsPush(SnsPush),
    Twilio(Twilio),
    Fcm(Fcm),
    Apns(Apns),
}

/// How fast a provider says that it may be called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Messages a second.
    pub per_second: f64,
    /// Messages in 24 hours; none: as many as one likes.
    pub per_day: Option<f64>,
    /// Of these already sent.
    pub sent_today: f64,
}

/// Why a provider's quota is not known.
#[derive(Clone, Debug, PartialEq)]
pub enum NoQuota {
    /// This provider tells nobody.
    NeverTold,
    /// Our credentials do not allow to ask, which is no error: to send they need no more rights.
    Denied,
    Trouble(Trouble),
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
            Self::Twilio(twilio) => twilio.send(message).await,
            Self::Fcm(fcm) => fcm.send(message).await,
            Self::Apns(apns) => apns.send(message).await,
        }
    }

    /// The provider's word in the ledger, the metrics and the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ses(_) => "ses",
            Self::Smtp(_) => "smtp",
            Self::SnsSms(_) | Self::SnsPush(_) => "sns",
            Self::Twilio(_) => "twilio",
            Self::Fcm(_) => "fcm",
            Self::Apns(_) => "apns",
        }
    }

    /// The form of the recipients that this provider serves. Push targets tell by it which service
    /// they belong to; emails and numbers go by any provider of their method.
    pub const fn serves(&self) -> Form {
        match self {
            Self::Ses(_) | Self::Smtp(_) | Self::SnsSms(_) | Self::Twilio(_) | Self::Fcm(_) => {
                Form::Plain
            }
            Self::SnsPush(_) => Form::Arn,
            Self::Apns(_) => Form::Hex,
        }
    }

    /// An open of this message would be reported to us.
    pub fn opens_tracked(&self, message: &Outgoing) -> bool {
        match self {
            Self::Ses(ses) => ses.opens_tracked(&message.content),
            Self::Smtp(smtp) => smtp.opens_tracked(message),
            Self::SnsSms(_) | Self::SnsPush(_) | Self::Twilio(_) | Self::Fcm(_) | Self::Apns(_) => {
                false
            }
        }
    }

    /// Asks the provider how fast it may be called; sends nothing.
    pub async fn quota(&self) -> Result<Quota, NoQuota> {
        match self {
            Self::Ses(ses) => ses.quota().await,
            Self::Smtp(_)
            | Self::SnsSms(_)
            | Self::SnsPush(_)
            | Self::Twilio(_)
            | Self::Fcm(_)
            | Self::Apns(_) => Err(NoQuota::NeverTold),
        }
    }

    /// Is the provider reachable, and does it accept us? Sends nothing.
    pub async fn check(&self) -> Result<(), Trouble> {
        match self {
            Self::Ses(ses) => ses.check().await,
            Self::Smtp(smtp) => smtp.check().await,
            Self::SnsSms(sns) => sns.check().await,
            Self::SnsPush(sns) => sns.check().await,
            Self::Twilio(twilio) => twilio.check().await,
            Self::Fcm(fcm) => fcm.check().await,
            Self::Apns(apns) => apns.check().await,
        }
    }
}
