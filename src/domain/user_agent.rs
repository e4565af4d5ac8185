//! Was a message opened by a machine? Prefetchers, image proxies and scanners, by user agent.

/// Parts of user agents, in lower case, of programs that load images without anybody looking.
/// Gmail and Yahoo load through their proxies whether or not somebody looks, so their opens prove
/// nothing either way.
const MACHINES: [&str; 12] = [
    "googleimageproxy",
    "yahoomailproxy",
    "barracuda",
    "mimecast",
    "proofpoint",
    "symantec",
    "bot/",
    "crawler",
    "headlesschrome",
    "python-requests",
    "go-http-client",
    "curl/",
];

/// Mail Privacy Protection of Apple loads all images on arrival and says nothing else.
const APPLE_PREFETCH: &str = "Mozilla/5.0";

pub fn is_machine(user_agent: &str) -> bool {
    let user_agent = user_agent.trim();
    let lower = user_agent.to_lowercase();
    user_agent == APPLE_PREFETCH || MACHINES.iter().any(|machine| lower.contains(machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_prefetchers_and_scanners_are_machines_and_mail_programs_are_not() {
        for machine in [
            "Mozilla/5.0",
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        ] {
            assert!(is_machine(machine), "{machine}");
        }
        for person in [
            "",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; ms-office; MSOffice 16)",
            "Mozilla/5.0 (Linux; Android 9; CUBOT_P30) AppleWebKit/537.36",
        ] {
            assert!(!is_machine(person), "{person}");
        }
    }
}
