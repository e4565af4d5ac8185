//! The key and the certificate with which the sandbox signs, as SNS signs with its own.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The common name of the certificates of the classic regions, and so of ours.
const COMMON_NAME: &str = "sns.amazonaws.com";

/// Made anew at every start and kept in memory only: nobody can sign for tomorrow's sandbox.
pub(super) struct Signer {
    key: KeyPair,
    certificate_pem: String,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the cryptography library made no usable RSA key; start again")]
    Key,
    #[error("the cryptography library made no certificate; start again")]
    Certificate(#[from] rcgen::Error),
}

impl Signer {
    /// Takes a good part of a second of computing time: not for an async thread.
    pub(super) fn generate() -> Result<Self, KeyError> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_unspecified| KeyError::Key)?;
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key)
            .map_err(|_unspecified| KeyError::Key)?;
        let key_pair = rcgen::KeyPair::try_from(der.as_ref())?;
        let mut params = rcgen::CertificateParams::new(vec![COMMON_NAME.to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, COMMON_NAME);
        // Wide, so that tests may set their clock to any reasonable year.
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let certificate_pem = params.self_signed(&key_pair)?.pem();
        Ok(Self {
            key,
            certificate_pem,
        })
    }

    pub(super) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Signature version 2, RSASSA-PKCS1-v1_5 with SHA-256, in base64.
    /// <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>
    pub(super) fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .expect("the buffer has the length of the modulus and the key is valid");
        STANDARD.encode(signature)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}
