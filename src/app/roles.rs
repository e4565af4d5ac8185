//! Roles: the parts of the program that a process takes on.

use std::str::FromStr;

/// Every process also answers `/healthz`, `/readyz` and `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each role is on or off by itself"
)]
pub struct Roles {
    pub api: bool,
    pub web: bool,
    pub webhooks: bool,
    pub worker: bool,
    pub intake: bool,
}

impl Roles {
    pub const ALL: Self = Self {
        api: true,
        web: true,
        webhooks: true,
        worker: true,
        intake: true,
    };
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no role: choose among api, web, webhooks, worker, intake, separated by commas")]
pub struct NoRole(String);

impl FromStr for Roles {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        let mut roles = Self {
            api: false,
            web: false,
            webhooks: false,
            worker: false,
            intake: false,
        };
        for word in text.split(',').map(str::trim) {
            match word {
                "api" => roles.api = true,
                "web" => roles.web = true,
                "webhooks" => roles.webhooks = true,
                "worker" => roles.worker = true,
                "intake" => roles.intake = true,
                other => return Err(NoRole(other.to_owned())),
            }
        }
        Ok(roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_a_list_and_others_are_refused_by_name() {
        let roles: Roles = "api, webhooks".parse().unwrap();
        assert_eq!(
            roles,
            Roles {
                api: true,
                web: false,
                webhooks: true,
                worker: false,
                intake: false
            }
        );
        assert!(
            "api,cook"
                .parse::<Roles>()
                .unwrap_err()
                .to_string()
                .contains("cook")
        );
        assert!("".parse::<Roles>().is_err());
    }
}
