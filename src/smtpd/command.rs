//! A line that a client sends, parsed: RFC 5321 4.1.1, RFC 2033 4.1.

/// RFC 5321 4.5.3.1.3 allows 256 octets for a path; SES takes up to 320.
const ADDRESS_BYTES_MAX: usize = 320;

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Ehlo,
    Helo,
    /// The greeting of LMTP.
    Lhlo,
    /// `None`: the null reverse path.
    Mail {
        from: Option<String>,
        size: usize,
    },
    Rcpt {
        to: String,
    },
    Data,
    Rset,
    Noop,
    Quit,
}

/// Why a line is no command; each has its reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotACommand {
    Unknown,
    BadPath,
    BadParameter,
}

impl Command {
    /// `line` is without its line end.
    pub(super) fn parse(line: &str) -> Result<Self, NotACommand> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => Ok(Self::Ehlo),
            "HELO" => Ok(Self::Helo),
            "LHLO" => Ok(Self::Lhlo),
            "MAIL" => mail(rest),
            "RCPT" => {
                let (path, _parameters) = path(rest, "TO:")?;
                let to = bare_address(path).ok_or(NotACommand::BadPath)?;
                Ok(Self::Rcpt { to })
            }
            "DATA" => Ok(Self::Data),
            "RSET" => Ok(Self::Rset),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => Ok(Self::Quit),
            _other => Err(NotACommand::Unknown),
        }
    }
}

fn mail(rest: &str) -> Result<Command, NotACommand> {
    let (path, parameters) = path(rest, "FROM:")?;
    let from = match path {
        "" => None,
        path => Some(bare_address(path).ok_or(NotACommand::BadPath)?),
    };
    let mut size = 0;
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_uppercase().as_str() {
            "SIZE" => size = value.parse().map_err(|_nan| NotACommand::BadParameter)?,
            "BODY" | "SMTPUTF8" => {}
            _other => return Err(NotACommand::BadParameter),
        }
    }
    Ok(Command::Mail { from, size })
}

/// What stands between the angle brackets after the key word, and what follows them.
fn path<'a>(rest: &'a str, key: &str) -> Result<(&'a str, &'a str), NotACommand> {
    let rest = rest.trim_start();
    let (head, tail) = rest
        .split_at_checked(key.len())
        .ok_or(NotACommand::BadPath)?;
    if !head.eq_ignore_ascii_case(key) {
        return Err(NotACommand::BadPath);
    }
    let inner = tail.trim_start().strip_prefix('<');
    inner
        .and_then(|inner| inner.split_once('>'))
        .ok_or(NotACommand::BadPath)
}

/// `ana@example.com` from `Ana <ana@example.com>` or from itself; `None` for what is no address.
pub fn bare_address(text: &str) -> Option<String> {
    let bare = text
        .rsplit_once('<')
        .map_or(text, |(_name, rest)| rest.split('>').next().unwrap_or(rest))
        .trim();
    let has_both_parts = bare
        .rsplit_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let printable = !bare.chars().any(|c| c.is_control() || c.is_whitespace());
    (has_both_parts && printable && bare.len() <= ADDRESS_BYTES_MAX).then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_inside_a_display_form() {
        for (text, bare) in [
            ("Ana <ana@example.com>", Some("ana@example.com")),
            (" ana@example.com ", Some("ana@example.com")),
            ("Ana", None),
            ("@example.com", None),
            ("<a b@example.com>", None),
        ] {
            assert_eq!(bare_address(text).as_deref(), bare, "{text}");
        }
    }

    #[test]
    fn commands_are_read_in_any_case_and_with_their_parameters() {
        let mail = |from: &str, size| Command::Mail {
            from: Some(from.to_owned()),
            size,
        };
        let rcpt = |to: &str| Command::Rcpt { to: to.to_owned() };
        for (line, command) in [
            ("EHLO client.example.com", Command::Ehlo),
            ("helo x", Command::Helo),
            ("LHLO client.example.com", Command::Lhlo),
            ("MAIL FROM:<a@example.com>", mail("a@example.com", 0)),
            (
                "mail from: <a@example.com> size=42 BODY=8BITMIME SMTPUTF8",
                mail("a@example.com", 42),
            ),
            (
                "MAIL FROM:<>",
                Command::Mail {
                    from: None,
                    size: 0,
                },
            ),
            (
                "RCPT TO:<jos\u{e9}@example.com>",
                rcpt("jos\u{e9}@example.com"),
            ),
            ("DATA", Command::Data),
            ("RSET", Command::Rset),
            ("NOOP", Command::Noop),
            ("QUIT", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_says_why() {
        for (line, why) in [
            ("", NotACommand::Unknown),
            ("STARTTLS", NotACommand::Unknown),
            ("MAIL FROM:a@example.com", NotACommand::BadPath),
            (
                "MAIL FROM:<a@example.com> SIZE=x",
                NotACommand::BadParameter,
            ),
            ("MAIL FROM:<a@example.com> X=1", NotACommand::BadParameter),
            ("RCPT TO:<>", NotACommand::BadPath),
            ("RCPT TO:<nobody>", NotACommand::BadPath),
            ("RCPT \u{e9}\u{e9}\u{e9}", NotACommand::BadPath),
        ] {
            assert_eq!(Command::parse(line), Err(why), "{line}");
        }
    }
}
