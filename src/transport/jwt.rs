//! JSON Web Tokens (RFC 7515, RFC 7519) by which we show a provider who we are.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// A private key with the name that the provider knows it by.
pub(super) struct Key {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NotAKey {
    #[error("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    Pem,
    #[error("holds a private key that is no {0} key")]
    Kind(&'static str),
}

impl Key {
    /// RSA, for signatures of RSASSA-PKCS1-v1_5 with SHA-256.
    pub(super) fn rs256(id: &str, pem: &str) -> Result<Self, NotAKey> {
        let pair = rsa::KeyPair::from_pkcs8(der(pem)?.secret_pkcs8_der());
        Ok(Self {
            id: id.to_owned(),
            pair: Pair::Rsa(pair.map_err(|_rejected| NotAKey::Kind("RSA"))?),
        })
    }

    /// The curve P-256, for signatures of ECDSA with SHA-256, both numbers as they are (RFC 7518
    /// 3.4).
    pub(super) fn es256(id: &str, pem: &str) -> Result<Self, NotAKey> {
        let der = der(pem)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der());
        Ok(Self {
            id: id.to_owned(),
            pair: Pair::Ecdsa(pair.map_err(|_rejected| NotAKey::Kind("P-256"))?),
        })
    }

    pub(super) fn sign(&self, claims: &Value) -> Result<String, Unspecified> {
        let algorithm = match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ecdsa(_) => "ES256",
        };
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": self.id });
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encoded(&header), encoded(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)?;
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, text.as_bytes())?.as_ref().to_vec(),
        };
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn der(pem: &str) -> Result<PrivatePkcs8KeyDer<'static>, NotAKey> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_not_pem| NotAKey::Pem)
}
