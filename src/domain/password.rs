//! What may be a password.

/// NIST SP 800-63B-4, 3.1.1.2: at least 15 characters where a password is all that is asked for.
pub const LENGTH_MIN: usize = 15;
/// In bytes. The same source demands room for 64 characters; these are 64 of any script, and hashing
/// them takes no longer.
pub const BYTES_MAX: usize = 256;

/// Why a text cannot be a password; what to do stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("is too short: use at least {LENGTH_MIN} characters, a few words for instance")]
    Short,
    #[error("is too long: use at most {BYTES_MAX} bytes")]
    Long,
    #[error("must not hold your email address")]
    HoldsEmail,
    #[error("repeats one piece over and over: use a few different words")]
    Repeats,
}

/// Pieces up to this long, repeated, are found: `abcabc…`, `12341234…`.
const PIECE_MAX: usize = 5;

pub fn check(password: &str, email: &str) -> Result<(), Unfit> {
    if password.len() > BYTES_MAX {
        return Err(Unfit::Long);
    }
    if password.chars().count() < LENGTH_MIN {
        return Err(Unfit::Short);
    }
    if password.to_lowercase().contains(&email.to_lowercase()) {
        return Err(Unfit::HoldsEmail);
    }
    let chars: Vec<char> = password.chars().collect();
    let repeats = |piece: usize| {
        chars
            .iter()
            .zip(chars.iter().skip(piece))
            .all(|(a, b)| a == b)
    };
    if (1..=PIECE_MAX).any(repeats) {
        return Err(Unfit::Repeats);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_passwords_of_any_script_are_fit_and_easy_ones_are_not() {
        let email = "ana@example.com";
        for (password, found) in [
            ("correct horse battery", Ok(())),
            ("пароль из пяти слов", Ok(())),
            (&*"語".repeat(14), Err(Unfit::Short)),
            (&*"語彙".repeat(8), Err(Unfit::Repeats)),
            ("fourteen chars", Err(Unfit::Short)),
            ("aaaaaaaaaaaaaaaaaaaa", Err(Unfit::Repeats)),
            ("12345123451234512345", Err(Unfit::Repeats)),
            ("my Ana@Example.com!!", Err(Unfit::HoldsEmail)),
            (&*"correct horse".repeat(20), Err(Unfit::Long)),
        ] {
            assert_eq!(check(password, email), found, "{password}");
        }
        let longest: String = "語彙力字"
            .chars()
            .chain("語字彙".chars().cycle().take(60))
            .collect();
        assert_eq!(
            (longest.chars().count(), check(&longest, email)),
            (64, Ok(()))
        );
    }
}
