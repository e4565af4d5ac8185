//! The section `[bounces]`: how mail that comes back is taken, and which is believed.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::transport::Problem;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BounceSettings {
    /// Where mail is taken by LMTP; none: nowhere.
    pub listen: Option<SocketAddr>,
    pub accept_unsigned: bool,
}

/// RFC 2033 5: LMTP must not be spoken there.
const SMTP_PORT: u16 = 25;

impl BounceSettings {
    pub fn validate(&self) -> Vec<Problem> {
        let is_smtp = self.listen.is_some_and(|it| it.port() == SMTP_PORT);
        let why = "may not have the port 25, which is that of SMTP: write 127.0.0.1:2424";
        let problem = is_smtp.then(|| Problem::new("listen", why));
        problem.into_iter().collect()
    }

    /// What would let anybody who reaches the port put any address on the suppression list.
    pub fn validate_production(&self) -> Option<Problem> {
        let is_open = self.listen.is_some_and(|it| !it.ip().is_loopback());
        (is_open && self.accept_unsigned).then(|| {
            let why = "must be false in production where listen is not an address of this machine: \
                       anybody who can reach it could make up bounces";
            Problem::new("accept_unsigned", why)
        })
    }
}
