//! Our own tracking of opens and clicks: what a business asked to learn, the links that tell it, and
//! what is recorded when somebody follows one.

use std::time::Duration;

use url::Url;

use super::event::{Event, What};
use super::event_key;
use super::id::NotificationId;
use super::line::bounded;
use super::seal::Seal;
use super::time::Timestamp;
use super::user_agent;

/// What a business asked to learn of its emails of one contact type. Nothing unless it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptIn {
    pub opens: bool,
    pub clicks: bool,
}

/// The path of the picture, without the token.
pub const OPEN_PATH: &str = "/t/o/";
/// The path of a link that leads on, without the token.
pub const CLICK_PATH: &str = "/t/c/";

const OPEN: &[u8] = b"sendtrail open 1\0";
const CLICK: &[u8] = b"sendtrail click 1\0";
const ID_LENGTH: usize = 16;

/// In bytes: sealed, and with an address of ours before it, it stays below the 2,048 that every mail
/// program and proxy takes.
const TARGET_LENGTH_MAX: usize = 1_400;

/// Who looks again within this time, or loads the picture again, is counted once.
const WINDOW: Duration = Duration::from_mins(1);

/// In characters; as of what providers report.
const USER_AGENT_LENGTH_MAX: usize = 500;

/// Who says so, in the ledger.
pub const SOURCE: &str = "tracking";

/// Where a link in a message leads: `http` or `https`, without user name or password, in ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// As browsers read it. `None`: it is left as it is.
    pub fn parse(text: &str) -> Option<Self> {
        // White space and a default port may go; not so much of it.
        let text = (text.len() <= 2 * TARGET_LENGTH_MAX).then_some(text)?;
        let url = Url::parse(text).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        let fits = url.as_str().len() <= TARGET_LENGTH_MAX;
        (is_web && is_anonymous && fits).then_some(Self(url))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What is recorded of it. Query and fragment are not: they are where links carry what signs a
    /// person in or names one.
    pub fn shown(&self) -> String {
        let mut url = self.0.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }
}

/// Makes and reads the tokens of the links. They have no end, as those of unsubscription have none.
#[derive(Clone, Debug)]
pub struct Tokens {
    seal: Seal,
}

impl Tokens {
    pub fn new(secret: &str) -> Self {
        Self {
            seal: Seal::new(secret),
        }
    }

    /// Of the picture: the notification alone.
    pub fn open(&self, id: NotificationId) -> String {
        self.seal.seal_id(OPEN, id)
    }

    pub fn read_open(&self, token: &str) -> Option<NotificationId> {
        self.seal.open_id(OPEN, token)
    }

    /// Of a link: it leads on by itself, whatever has become of the message, and nowhere else.
    pub fn click(&self, id: NotificationId, target: &Target) -> String {
        let what = [id.uuid().as_bytes().as_slice(), target.as_str().as_bytes()].concat();
        self.seal.seal(CLICK, &what)
    }

    pub fn read_click(&self, token: &str) -> Option<(NotificationId, Target)> {
        let what = self.seal.open(CLICK, token)?;
        let (id, target) = what.split_at_checked(ID_LENGTH)?;
        let id = NotificationId::from_bytes(id)?;
        Some((id, Target::parse(std::str::from_utf8(target).ok()?)?))
    }
}

/// Makes what a message carries.
#[derive(Clone, Debug)]
pub struct Links {
    pub tokens: Tokens,
    /// Where the program is reached from outside, without a slash at its end.
    pub base: String,
}

impl Links {
    pub fn picture(&self, id: NotificationId) -> String {
        format!("{}{OPEN_PATH}{}", self.base, self.tokens.open(id))
    }

    pub fn click(&self, id: NotificationId, target: &Target) -> String {
        format!("{}{CLICK_PATH}{}", self.base, self.tokens.click(id, target))
    }

    /// It leads to one of our own pages: to be unsubscribed, or on.
    pub fn is_ours(&self, target: &Target) -> bool {
        let Ok(base) = Url::parse(&self.base) else {
            return false;
        };
        let path = target
            .0
            .path()
            .strip_prefix(base.path().trim_end_matches('/'));
        let is_page = path.is_some_and(|path| path.starts_with("/u/") || path.starts_with("/t/"));
        is_page && base.origin() == target.0.origin()
    }
}

/// The program that asked.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    pub user_agent: Option<String>,
    /// It says that it looks ahead, and that nobody has asked it to.
    pub prefetches: bool,
}

impl Agent {
    fn is_machine(&self) -> bool {
        let known = self.user_agent.as_deref();
        self.prefetches || known.is_some_and(user_agent::is_machine)
    }

    fn kept(self) -> Option<String> {
        let text = self.user_agent?;
        Some(bounded(&text, USER_AGENT_LENGTH_MAX)).filter(|text| !text.is_empty())
    }
}

/// The picture of a message was loaded.
pub fn opened(id: NotificationId, at: Timestamp, agent: Agent) -> Event {
    let by_machine = agent.is_machine();
    let what = What::Opened {
        user_agent: agent.kept(),
        by_machine,
    };
    event(id, at, what, ("", by_machine))
}

/// A link of a message was followed.
pub fn clicked(id: NotificationId, target: &Target, at: Timestamp, agent: Agent) -> Event {
    let by_machine = agent.is_machine();
    let what = What::Clicked {
        link: Some(target.shown()),
        user_agent: agent.kept(),
    };
    event(id, at, what, (target.as_str(), by_machine))
}

/// One key for all that tells the same within the window, in every process. A machine's look does not
/// hide a person's.
fn event(
    notification: NotificationId,
    at: Timestamp,
    what: What,
    (target, by_machine): (&str, bool),
) -> Event {
    let window = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
    let window = at.as_millis().div_euclid(window).to_string();
    let whose = if by_machine { "machine" } else { "person" };
    Event {
        notification,
        key: event_key::of(&[SOURCE, what.kind(), target, whose, &window]),
        occurred_at: at,
        source: SOURCE.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const SECRET: &str = "a secret of some length";

    fn id() -> NotificationId {
        NotificationId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0042))
    }

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn a_token_leads_back_to_its_message_and_its_target() {
        let tokens = Tokens::new(SECRET);
        assert_eq!(tokens.read_open(&tokens.open(id())), Some(id()));
        for text in [
            "https://example.com/",
            "http://example.com/a?b=c&d=%20e#f",
            "https://example.com/\u{e9}?q=\u{4f60}",
        ] {
            let target = target(text);
            assert!(target.as_str().is_ascii());
            let read = tokens.read_click(&tokens.click(id(), &target));
            assert_eq!(read, Some((id(), target)));
        }
    }

    #[test]
    fn what_was_altered_or_is_for_another_purpose_leads_nowhere() {
        let tokens = Tokens::new(SECRET);
        let open = tokens.open(id());
        let click = tokens.click(id(), &target("https://example.com/a"));
        for token in [&open, &click] {
            for at in 0..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(tokens.read_open(&changed), None, "{changed}");
                assert_eq!(tokens.read_click(&changed), None, "{changed}");
            }
        }
        assert_eq!(tokens.read_open(&click), None);
        assert_eq!(tokens.read_click(&open), None);
        let unsubscription = super::super::unsubscribe::Tokens::new(SECRET).of(id());
        assert_eq!(tokens.read_open(&unsubscription), None);
        assert_eq!(Tokens::new("another secret").read_click(&click), None);
        let signed = |target: &str| {
            let what = [id().uuid().as_bytes().as_slice(), target.as_bytes()].concat();
            tokens.seal.seal(CLICK, &what)
        };
        for unfit in ["javascript:alert(1)", "//example.com", "", "ftp://a.b/"] {
            assert_eq!(tokens.read_click(&signed(unfit)), None, "{unfit}");
        }
    }

    /// Links lie in mailboxes for years.
    #[test]
    fn tokens_stay_the_same_between_versions() {
        let tokens = Tokens::new(SECRET);
        assert_eq!(
            tokens.open(id()),
            "AZcAAAAAcACAAAAAAAAAQuEVWTY-en7aRziOM3OQKSRWHmmgwhqe90flGz7X-XEb"
        );
        let click = tokens.click(id(), &target("https://example.com/"));
        let expected = concat!(
            "AZcAAAAAcACAAAAAAAAAQmh0dHBzOi8vZXhhbXBsZS5jb20v7wTxVFYPxo7U",
            "-rKumAfnVJeyTswNNcKrgRlQ1Kad190"
        );
        assert_eq!(click, expected);
    }

    #[test]
    fn only_addresses_of_the_web_without_credentials_are_targets() {
        for text in [
            "mailto:ana@example.com",
            "tel:+14155550123",
            "#top",
            "/relative",
            "example.com",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://ana:secret@example.com/",
            "https://ana@example.com/",
            "https://",
            "cid:logo",
            &format!("https://example.com/{}", "a".repeat(TARGET_LENGTH_MAX)),
            &format!("https://example.com/{}", "\u{e9}".repeat(400)),
        ] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
        let kept = target(" HTTPS://Example.COM:443/a\n/b?c#d ");
        assert_eq!(kept.as_str(), "https://example.com/a/b?c#d");
        assert_eq!(kept.shown(), "https://example.com/a/b");
    }

    #[test]
    fn links_to_our_own_pages_are_known() {
        let links = Links {
            tokens: Tokens::new(SECRET),
            base: "https://Notify.example.com:443/n".to_owned(),
        };
        let is_ours = |text: &str| links.is_ours(&target(text));
        assert!(is_ours("https://notify.example.com/n/u/token"));
        assert!(is_ours(&links.click(id(), &target("https://example.com/"))));
        assert!(is_ours(&links.picture(id())));
        assert!(!is_ours("https://notify.example.com/n/user"));
        assert!(!is_ours("https://notify.example.com/u/token"));
        assert!(!is_ours("http://notify.example.com/n/u/token"));
        assert!(!is_ours("https://notify.example.com.evil.example/n/u/x"));
    }

    #[test]
    fn within_a_minute_the_same_is_counted_once_and_nothing_hides_anything_else() {
        let at = |millis| Timestamp::from_millis(millis);
        let agent = |text: &str| Agent {
            user_agent: Some(text.to_owned()),
            prefetches: false,
        };
        let person = || agent("Mail/1.0");
        let first = opened(id(), at(60_000), person());
        assert_eq!(first.source, SOURCE);
        assert_eq!(opened(id(), at(119_999), agent("Other/2")).key, first.key);
        let (a, b) = (
            target("https://example.com/?a"),
            target("https://example.com/?b"),
        );
        let others = [
            opened(id(), at(120_000), person()),
            opened(id(), at(60_000), agent("GoogleImageProxy")),
            clicked(id(), &a, at(60_000), person()),
            clicked(id(), &b, at(60_000), person()),
        ];
        let mut keys: Vec<_> = others.iter().map(|event| event.key).collect();
        keys.push(first.key);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 5);
    }

    #[test]
    fn machines_are_known_and_their_names_are_bounded() {
        let agent = |text: &str, prefetches| Agent {
            user_agent: Some(text.to_owned()),
            prefetches,
        };
        let seen = |agent| {
            let What::Opened {
                user_agent,
                by_machine,
            } = opened(id(), Timestamp::EPOCH, agent).what
            else {
                panic!("an open is one")
            };
            (user_agent, by_machine)
        };
        assert_eq!(seen(Agent::default()), (None, false));
        assert_eq!(seen(agent(" ", false)), (None, false));
        let proxy = seen(agent("(via ggpht.com GoogleImageProxy)", false));
        assert!(proxy.1);
        assert!(seen(agent("Mail/1.0", true)).1);
        let (long, _) = seen(agent(&"x\r\n\u{1b}".repeat(2_000), false));
        let long = long.unwrap();
        assert!(long.chars().count() <= USER_AGENT_LENGTH_MAX && !long.contains(char::is_control));
    }
}
