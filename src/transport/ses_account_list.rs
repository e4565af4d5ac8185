//! The account-level suppression list of Amazon SES: addresses to which SES itself sends nothing,
//! whoever in the account asks it to.
//! <https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html>

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::DisplayErrorContext;
use aws_sdk_sesv2::operation::delete_suppressed_destination::DeleteSuppressedDestinationError;
use aws_sdk_sesv2::operation::get_suppressed_destination::GetSuppressedDestinationError;
use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types::SuppressionListReason;

use super::SesSettings;
use crate::domain::account_list::{Listed, Page, Trouble};
use crate::domain::suppression::Reason;
use crate::domain::time::Timestamp;

/// Reads and shortens the list.
#[derive(Clone, Debug)]
pub struct AccountList {
    client: Client,
}

impl AccountList {
    pub async fn new(settings: &SesSettings) -> Self {
        Self {
            client: settings.client().await,
        }
    }

    /// A page of at most so many, in SES's own order.
    pub async fn page(&self, cursor: Option<String>, limit: i32) -> Result<Page, Trouble> {
        let call = self.client.list_suppressed_destinations();
        let call = call.set_next_token(cursor).page_size(limit);
        let answer = call.send().await.map_err(trouble)?;
        let listed = answer.suppressed_destination_summaries().iter();
        let listed = listed.map(|entry| Listed {
            address: entry.email_address().to_owned(),
            reason: reason(entry.reason()),
            since: time(entry.last_update_time()),
        });
        Ok(Page {
            listed: listed.collect(),
            next: answer.next_token.clone(),
        })
    }

    /// What the list says of one address.
    pub async fn find(&self, address: &str) -> Result<Option<Listed>, Trouble> {
        let call = self.client.get_suppressed_destination();
        match call.email_address(address).send().await {
            Ok(answer) => Ok(answer.suppressed_destination().map(|entry| Listed {
                address: entry.email_address().to_owned(),
                reason: reason(entry.reason()),
                since: time(entry.last_update_time()),
            })),
            Err(failed) => {
                let said = failed.as_service_error();
                let absent =
                    said.is_some_and(GetSuppressedDestinationError::is_not_found_exception);
                if absent {
                    Ok(None)
                } else {
                    Err(trouble(failed))
                }
            }
        }
    }

    /// Takes an address off. `false`: it was not there.
    pub async fn remove(&self, address: &str) -> Result<bool, Trouble> {
        let call = self.client.delete_suppressed_destination();
        match call.email_address(address).send().await {
            Ok(_) => Ok(true),
            Err(failed) => {
                let said = failed.as_service_error();
                let absent =
                    said.is_some_and(DeleteSuppressedDestinationError::is_not_found_exception);
                if absent {
                    Ok(false)
                } else {
                    Err(trouble(failed))
                }
            }
        }
    }
}

fn reason(theirs: &SuppressionListReason) -> Reason {
    if *theirs == SuppressionListReason::Complaint {
        Reason::Complaint
    } else {
        Reason::Bounce
    }
}

fn time(at: &DateTime) -> Timestamp {
    Timestamp::from_millis(at.to_millis().unwrap_or_default())
}

fn trouble(failed: impl std::error::Error + Send + Sync + 'static) -> Trouble {
    // SES quotes the address in some of its sentences: only the kind of the error is kept.
    let words = DisplayErrorContext(&failed).to_string();
    let known = [
        "Throttl",
        "TooManyRequests",
        "AccessDenied",
        "dispatch failure",
        "timeout",
    ];
    let kind = known.into_iter().find(|kind| words.contains(kind));
    Trouble(kind.unwrap_or("unexpected answer"))
}
