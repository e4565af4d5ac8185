//! Is it Twilio that posts, to us and for our account?
//!
//! The signature is made over our address as Twilio knows it. Behind a proxy the request does not tell
//! that address, and its header `Host` is the sender's to choose: the address is the one of the
//! settings, and only the query is taken from the request.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::form::Form;
use super::{Genuine, Refusal};
use crate::store::inbound::Sharing;
use crate::transport::TwilioSettings;

/// Where Twilio posts, below our public address.
pub const PATH: &str = "/webhooks/twilio";
/// The longest text (1,600 characters, each up to twelve bytes in a form) with ten addresses of
/// pictures stays below half of it.
pub const BODY_MAX: usize = 64 * 1024;
/// In the address of a message that is no form: the SHA-256 of its body, in hexadecimal.
const BODY_DIGEST: &str = "bodySHA256";

/// A request, as far as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// Every header of this name: there must be one.
    pub signatures: &'a [&'a [u8]],
    pub content_type: &'a str,
    /// Of the address, as it was asked for.
    pub query: Option<&'a str>,
    pub body: &'a [u8],
}

/// What a message must fit. `Debug` shows no token.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    account: Option<String>,
    /// The primary one, and another while it is changed.
    tokens: Vec<SecretString>,
    /// Without query; with and without the scheme's own port.
    addresses: Vec<String>,
    sender: Option<String>,
    service: Option<String>,
}

impl Verifier {
    /// `public_url`: where we are reached, should Twilio's settings not say it.
    pub fn new(settings: &TwilioSettings, public_url: Option<&str>) -> Self {
        let below = public_url.map(|url| format!("{url}{PATH}"));
        let address = settings.status_callback_url.clone().or(below);
        let tokens = [&settings.auth_token, &settings.secondary_auth_token];
        Self {
            account: settings.account_sid.clone(),
            tokens: tokens.into_iter().flatten().cloned().collect(),
            addresses: address.as_deref().map(addresses).unwrap_or_default(),
            sender: settings.from.clone(),
            service: settings.messaging_service_sid.clone(),
        }
    }

    /// Do messages of businesses without a number of their own come from it?
    pub(super) fn sharing(&self, number: &str, service: Option<&str>) -> Sharing {
        let is_shared = self.sender.as_deref() == Some(number)
            || (self.service.is_some() && self.service.as_deref() == service);
        if is_shared {
            Sharing::Shared
        } else {
            Sharing::NotShared
        }
    }

    pub fn judge(&self, post: &Post<'_>) -> Result<Genuine, Refusal> {
        if post.body.len() > BODY_MAX {
            return Err(Refusal::TooLarge);
        }
        let account = self.account.as_deref().ok_or(Refusal::NotSetUp)?;
        if self.tokens.is_empty() || self.addresses.is_empty() {
            return Err(Refusal::NotSetUp);
        }
        let body = str::from_utf8(post.body).map_err(|_not_text| Refusal::NotTwilios)?;
        let is_form = match essence(post.content_type).as_str() {
            "application/x-www-form-urlencoded" => true,
            "application/json" => false,
            _ => return Err(Refusal::NotTwilios),
        };
        if is_form == body.trim_start().starts_with('{') {
            return Err(Refusal::NotTwilios);
        }
        let form = Form::read(body)?;
        match form.get("AccountSid") {
            None => return Err(Refusal::NoAccount),
            Some(named) if named != account => return Err(Refusal::ForeignAccount),
            Some(_) => {}
        }
        let signature = match post.signatures {
            [] => return Err(Refusal::NoSignature),
            [one] => STANDARD
                .decode(one)
                .map_err(|_not_one| Refusal::Signature)?,
            [..] => return Err(Refusal::Signature),
        };
        let signed = if is_form {
            form.signed_text()
        } else {
            String::new()
        };
        if !self.has_signed(post.query, &signed, &signature) {
            return Err(Refusal::Signature);
        }
        // The signature covers the address alone, and this is in it.
        if !is_form && !is_digest_of(post.query, post.body) {
            return Err(Refusal::BodyDigest);
        }
        Ok(Genuine {
            form,
            query: post.query.unwrap_or_default().to_owned(),
            body: body.to_owned(),
        })
    }

    /// Compares in constant time.
    pub(super) fn has_signed(&self, query: Option<&str>, signed: &str, signature: &[u8]) -> bool {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let pairs = self.tokens.iter().flat_map(|token| {
            let token = token.expose_secret().as_bytes();
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token);
            self.addresses.iter().map(move |it| (key.clone(), it))
        });
        let mut fits = pairs.map(|(key, address)| {
            let text = format!("{address}{query}{signed}");
            hmac::verify(&key, text.as_bytes(), signature).is_ok()
        });
        fits.any(|fits| fits)
    }
}

/// The address as it is written and, where it names no port, with the one of its scheme: both are in
/// use for one place. Without query and fragment.
fn addresses(url: &str) -> Vec<String> {
    let Ok(mut url) = Url::parse(url) else {
        return Vec::new();
    };
    url.set_query(None);
    url.set_fragment(None);
    let mut addresses = vec![url.to_string()];
    let authority = url.as_str().strip_suffix(url.path());
    if let (None, Some(port), Some(authority)) =
        (url.port(), url.port_or_known_default(), authority)
    {
        addresses.push(format!("{authority}:{port}{}", url.path()));
    }
    addresses
}

/// The type without its parameters, in small letters.
fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

pub(super) fn is_digest_of(query: Option<&str>, body: &[u8]) -> bool {
    let pairs = query.unwrap_or_default().split('&');
    let mut named = pairs.filter_map(|pair| pair.strip_prefix(BODY_DIGEST)?.strip_prefix('='));
    let (Some(claimed), None) = (named.next(), named.next()) else {
        return false;
    };
    let Ok(claimed) = hex::decode(claimed) else {
        return false;
    };
    let found = digest::digest(&digest::SHA256, body);
    constant_time::verify_slices_are_equal(&claimed, found.as_ref()).is_ok()
}
