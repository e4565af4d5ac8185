//! The provider of single sign-on, as we ask it: what it is, its keys, who signed in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::jwk::Jwk;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use super::flow::Flow;
use super::id_token::{Claims, Expected, Mail, Wrong, verify};
use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// A person waits, and the provider is near or a large one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
/// A large set of keys with their certificates has some ten thousand bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Keys of one provider; it has two or three.
const KEYS_MAX: usize = 50;
/// How long what the provider says of itself, and its keys, are good.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// A token by a key that is not known makes us ask for the keys again, so often at most.
const KEYS_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// After a failure nobody waits for the next one for so long.
const AWAY_FOR: Duration = Duration::from_secs(5);
/// OpenID Connect Core 5.4.
const SCOPE: &str = "openid email";

/// Who the provider is, and who we are to it.
#[derive(Clone)]
pub struct ProviderSettings {
    pub issuer: String,
    pub client_id: String,
    /// None: a public client, which PKCE alone guards.
    pub client_secret: Option<SecretString>,
    /// Where it sends people back to.
    pub redirect_uri: String,
    /// What the button on the sign-in page says.
    pub label: String,
}

/// Cheap to clone; clones share what is known.
#[derive(Clone)]
pub struct Provider {
    settings: Arc<ProviderSettings>,
    http: reqwest::Client,
    clock: Clock,
    known: Arc<Mutex<Known>>,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the client that asks the provider of single sign-on cannot be made")]
pub struct NoClient(#[source] reqwest::Error);

/// Why nobody is known to have signed in. None of it holds what the provider or a person wrote.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Trouble {
    #[error("the provider of single sign-on does not answer: {0}")]
    Away(&'static str),
    #[error("the provider of single sign-on takes the code no more")]
    Code,
    #[error("the provider of single sign-on answers what cannot be used: {0}")]
    Answer(&'static str),
    #[error("the ID token is not believed: {0}")]
    Token(&'static str),
}

#[derive(Default)]
struct Known {
    about: Option<(Timestamp, Arc<About>)>,
    keys: Option<(Timestamp, Arc<Vec<Jwk>>)>,
    failed: Option<(Timestamp, Trouble)>,
}

/// OpenID Connect Discovery 1.0, 3.
#[derive(Debug, Deserialize)]
struct About {
    issuer: String,
    #[serde(deserialize_with = "address")]
    authorization_endpoint: Url,
    #[serde(deserialize_with = "address")]
    token_endpoint: Url,
    #[serde(deserialize_with = "address")]
    jwks_uri: Url,
    #[serde(default, deserialize_with = "maybe_address")]
    userinfo_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Json>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    mail: Mail,
}

impl Provider {
    pub fn new(settings: ProviderSettings, clock: Clock) -> Result<Self, NoClient> {
        let is_local = Url::parse(&settings.issuer).is_ok_and(|url| is_loopback(&url));
        let mut http = reqwest::Client::builder()
            .https_only(!is_local)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        if is_local {
            http = http.no_proxy();
        }
        Ok(Self {
            settings: Arc::new(settings),
            http: http.build().map_err(NoClient)?,
            clock,
            known: Arc::default(),
        })
    }

    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    pub fn label(&self) -> &str {
        &self.settings.label
    }

    /// Whether it answers and its keys can be had.
    pub async fn look(&self) -> Result<(), Trouble> {
        let about = self.about().await?;
        self.keys(&about, KNOWN_FOR).await.map(drop)
    }

    /// Where the browser is sent to.
    pub(super) async fn authorization(&self, flow: &Flow) -> Result<String, Trouble> {
        let about = self.about().await?;
        let mut address = about.authorization_endpoint.clone();
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.settings.redirect_uri)
            .append_pair("scope", SCOPE)
            .append_pair("state", &flow.state())
            .append_pair("nonce", &flow.nonce())
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(address.into())
    }

    /// Who signed in, for the code that came back.
    pub(super) async fn claims(&self, flow: &Flow, code: &str) -> Result<Claims, Trouble> {
        let about = self.about().await?;
        let tokens = self.redeem(&about, flow, code).await?;
        let mut claims = self.verified(&about, flow, &tokens.id_token).await?;
        if claims.mail.email.is_none() {
            // Where there is an access token, providers may tell of it there alone (5.4).
            claims.mail = self.mail(&about, &claims.sub, tokens.access_token).await?;
        }
        Ok(claims)
    }

    async fn redeem(&self, about: &About, flow: &Flow, code: &str) -> Result<Tokens, Trouble> {
        let settings = &self.settings;
        let verifier = flow.verifier();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &settings.redirect_uri),
            ("code_verifier", &verifier),
        ];
        let mut request = self.http.post(about.token_endpoint.clone());
        let secret = settings
            .client_secret
            .as_ref()
            .map(SecretString::expose_secret);
        match secret {
            Some(secret) if about.takes_basic() => {
                // RFC 6749 2.3.1: both are encoded as in a form first.
                let pair = [settings.client_id.as_str(), secret].map(encoded).join(":");
                let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
                request = request.header(AUTHORIZATION, basic);
            }
            Some(secret) => {
                form.push(("client_id", &settings.client_id));
                form.push(("client_secret", secret));
            }
            None => form.push(("client_id", &settings.client_id)),
        }
        self.answered(request.form(&form)).await
    }

    async fn verified(&self, about: &About, flow: &Flow, token: &str) -> Result<Claims, Trouble> {
        let expected = Expected {
            issuer: &about.issuer,
            client_id: &self.settings.client_id,
            flow,
            now: self.clock.now(),
        };
        let keys = self.keys(about, KNOWN_FOR).await?;
        let mut found = verify(token, &keys, &expected);
        if matches!(found, Err(Wrong::UnknownKey)) {
            let keys = self.keys(about, KEYS_AGAIN_AFTER).await?;
            found = verify(token, &keys, &expected);
        }
        found.map_err(|wrong| match wrong {
            Wrong::UnknownKey => Trouble::Token("signed by a key that is not the provider's"),
            Wrong::Because(why) => Trouble::Token(why),
        })
    }

    async fn mail(
        &self,
        about: &About,
        subject: &str,
        access_token: Option<String>,
    ) -> Result<Mail, Trouble> {
        let (Some(address), Some(token)) = (&about.userinfo_endpoint, access_token) else {
            return Ok(Mail::default());
        };
        let request = self.http.get(address.clone()).bearer_auth(token);
        let info: UserInfo = self.answered(request).await?;
        // 5.3.2: else it may be of somebody else.
        if info.sub == subject {
            Ok(info.mail)
        } else {
            Err(Trouble::Answer("it tells of another person"))
        }
    }

    /// Asked for once, whoever waits for it.
    async fn about(&self) -> Result<Arc<About>, Trouble> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        if let Some((at, about)) = &known.about
            && now.since(*at) < KNOWN_FOR
        {
            return Ok(Arc::clone(about));
        }
        if let Some((at, trouble)) = known.failed
            && now.since(at) < AWAY_FOR
        {
            return Err(trouble);
        }
        let base = self.settings.issuer.trim_end_matches('/');
        let request = self
            .http
            .get(format!("{base}/.well-known/openid-configuration"));
        let asked = self
            .answered(request)
            .await
            .and_then(|about| self.usable(about));
        match asked {
            Ok(about) => {
                let about = Arc::new(about);
                known.about = Some((now, Arc::clone(&about)));
                Ok(about)
            }
            Err(trouble) => {
                known.failed = Some((now, trouble));
                Err(trouble)
            }
        }
    }

    fn usable(&self, about: About) -> Result<About, Trouble> {
        if about.issuer != self.settings.issuer {
            return Err(Trouble::Answer(
                "it calls itself by another name than oidc.issuer",
            ));
        }
        let is_local = Url::parse(&about.issuer).is_ok_and(|url| is_loopback(&url));
        let addresses = [
            &about.authorization_endpoint,
            &about.token_endpoint,
            &about.jwks_uri,
        ];
        let addresses = addresses.into_iter().chain(&about.userinfo_endpoint);
        for address in addresses {
            if address.scheme() != "https" && !(is_local && is_loopback(address)) {
                return Err(Trouble::Answer("one of its addresses is not https"));
            }
        }
        Ok(about)
    }

    /// Its keys, not older than that.
    async fn keys(&self, about: &About, age_max: Duration) -> Result<Arc<Vec<Jwk>>, Trouble> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        if let Some((at, keys)) = &known.keys
            && now.since(*at) < age_max
        {
            return Ok(Arc::clone(keys));
        }
        let request = self.http.get(about.jwks_uri.clone());
        let set: KeySet = self.answered(request).await?;
        // Of kinds that we do not know there may be some.
        let keys = set.keys.into_iter().take(KEYS_MAX);
        let keys = keys.filter_map(|key| serde_json::from_value(key).ok());
        let keys: Arc<Vec<Jwk>> = Arc::new(keys.collect());
        known.keys = Some((now, Arc::clone(&keys)));
        Ok(keys)
    }

    async fn answered<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Trouble> {
        let sent = request.header(ACCEPT, "application/json").send().await;
        let mut response = sent.map_err(|failed| Trouble::Away(away(&failed)))?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(Trouble::Away("it has trouble itself"));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.transpose() {
            let piece = piece.map_err(|failed| Trouble::Away(away(&failed)))?;
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::Answer("it is too long"));
            }
            body.extend_from_slice(&piece);
        }
        if status != StatusCode::OK {
            return Err(refusal(&body));
        }
        serde_json::from_slice(&body)
            .map_err(|_no_json| Trouble::Answer("it is not what was asked for"))
    }
}

impl About {
    /// Discovery 3: what is not said is `client_secret_basic`.
    fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|them| them.iter().any(|it| it == "client_secret_basic"))
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(D::Error::custom)
}

fn maybe_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| Url::parse(&text).map_err(D::Error::custom))
        .transpose()
}

/// RFC 6749 5.2.
fn refusal(body: &[u8]) -> Trouble {
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    match json.get("error").and_then(Json::as_str) {
        Some("invalid_grant") => Trouble::Code,
        Some("invalid_client" | "unauthorized_client") => {
            Trouble::Answer("it does not know us: see oidc.client_id and oidc.client_secret")
        }
        _ => Trouble::Answer("it refuses"),
    }
}

fn away(failed: &reqwest::Error) -> &'static str {
    if failed.is_timeout() {
        "it takes too long"
    } else if failed.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn is_loopback(url: &Url) -> bool {
    let ip = url
        .host_str()
        .map(|host| host.trim_matches(['[', ']']).parse::<std::net::IpAddr>());
    url.scheme() == "http" && ip.is_some_and(|ip| ip.is_ok_and(|ip| ip.is_loopback()))
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.settings.issuer)
    }
}

impl fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderSettings({})", self.issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_provider_on_this_machine_is_asked_without_https() {
        for (address, local) in [
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000/a", true),
            ("https://127.0.0.1", false),
            ("http://login.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost", false),
        ] {
            assert_eq!(
                is_loopback(&Url::parse(address).unwrap()),
                local,
                "{address}"
            );
        }
    }

    #[test]
    fn what_the_token_endpoint_refuses_says_what_to_look_at() {
        assert!(matches!(
            refusal(br#"{"error":"invalid_grant"}"#),
            Trouble::Code
        ));
        let ours = refusal(br#"{"error":"invalid_client"}"#);
        assert!(ours.to_string().contains("oidc.client_secret"), "{ours}");
        assert!(matches!(refusal(b"<html>"), Trouble::Answer("it refuses")));
        assert_eq!(encoded("a b:c/\u{e9}"), "a+b%3Ac%2F%C3%A9");
    }
}
