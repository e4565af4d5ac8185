//! What has become of a message, asked of Twilio itself: for reports that never came.
//! <https://www.twilio.com/docs/messaging/api/message-resource#fetch-a-message-resource>

use serde::Deserialize;

use super::settings::is_sid;
use super::{Twilio, error};
use crate::domain::outcome::Trouble;
use crate::transport::http::exchange;

/// How a message stands, in Twilio's words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    pub status: String,
    pub error_code: Option<u32>,
    /// RFC 2822.
    pub date_updated: Option<String>,
}

impl Twilio {
    /// `None` when Twilio has no such message, or none any more.
    pub async fn look_up(&self, message: &str) -> Result<Option<State>, Trouble> {
        // It becomes part of an address.
        if !["SM", "MM"].into_iter().any(|kind| is_sid(message, kind)) {
            return Ok(None);
        }
        let inner = &self.inner;
        let url = inner.url(&format!("Messages/{message}.json"));
        let call = inner.signed(inner.client.get(url));
        match exchange(call, inner.clock.now()).await {
            Ok(reply) if reply.status == 200 => serde_json::from_slice(&reply.body)
                .map(Some)
                .map_err(|_not_a_message| Trouble::new(None, "the answer is no message resource")),
            // A wrong account would show itself at every send.
            Ok(reply) if reply.status == 404 => Ok(None),
            Ok(reply) => Err(error(&reply).trouble()),
            Err(fault) => Err(fault.trouble()),
        }
    }
}
