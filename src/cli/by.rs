//! Who gives an order at the command line, as people read it on record.

use super::providers::check_line;

#[derive(Debug, clap::Args)]
pub(super) struct By {
    /// Who does it, for the record; your user name on this machine when absent.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Where the environment names no user.
const NOBODY: &str = "command line";
/// As shells, `login` and Windows name the user.
const VARIABLES: [&str; 3] = ["USER", "LOGNAME", "USERNAME"];

impl By {
    pub(super) fn name(&self) -> anyhow::Result<String> {
        if let Some(by) = &self.by {
            check_line("--by", by)?;
            return Ok(by.trim().to_owned());
        }
        let users = VARIABLES.iter().filter_map(std::env::var_os);
        let mut users = users.filter_map(|user| user.into_string().ok());
        let user = users.find(|user| check_line("", user).is_ok());
        Ok(user.map_or_else(|| NOBODY.to_owned(), |user| user.trim().to_owned()))
    }
}
