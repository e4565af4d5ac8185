//! A signing certificate: where it may come from, whose it must be, and the keys in it.

use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::parse_x509_pem;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use super::refusal::Refusal;
use super::region::Site;
use crate::domain::time::Timestamp;

/// A certificate that was read; whether it may be trusted is asked anew for every message.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Present when the subject has exactly one common name.
    common_name: Option<Vec<u8>>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Absent for keys other than RSA of 2048 bits or more.
    keys: Option<Keys>,
}

/// The one public key, made ready for either signature version.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) sha1: ParsedPublicKey,
    pub(super) sha256: ParsedPublicKey,
}

/// The file is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate: give one X.509 certificate in PEM form, as SNS publishes it")]
pub struct NotACertificate;

/// May a certificate be fetched from this address? Compared as text and not as a parsed address,
/// because parsers mend what is odd and each mends it in its own way.
pub(super) fn is_at(site: &Site, url: &str) -> bool {
    url.strip_prefix("https://")
        .and_then(|rest| rest.strip_prefix(site.host.as_str()))
        .and_then(|path| path.strip_prefix("/SimpleNotificationService-"))
        .and_then(|file| file.strip_suffix(".pem"))
        .is_some_and(|hash| {
            hash.len() == 32 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
}

impl Certificate {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, NotACertificate> {
        let (_, block) = parse_x509_pem(pem).map_err(|_malformed| NotACertificate)?;
        if block.label != "CERTIFICATE" {
            return Err(NotACertificate);
        }
        let certificate = block.parse_x509().map_err(|_malformed| NotACertificate)?;
        Ok(Self {
            common_name: common_name(&certificate),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
            keys: keys(&certificate),
        })
    }

    pub(super) fn bears(&self, name: &str) -> Result<(), Refusal> {
        if self.common_name.as_deref() == Some(name.as_bytes()) {
            Ok(())
        } else {
            Err(Refusal::CertificateName {
                expected: name.to_owned(),
            })
        }
    }

    pub(super) fn keys(&self) -> Result<&Keys, Refusal> {
        self.keys.as_ref().ok_or(Refusal::CertificateKey)
    }

    /// Both ends belong to the validity (RFC 5280, 4.1.2.5).
    pub(super) fn valid_at(&self, now: Timestamp) -> Result<(), Refusal> {
        if (self.not_before..=self.not_after).contains(&now) {
            Ok(())
        } else {
            Err(Refusal::CertificateValidity {
                not_before: self.not_before,
                not_after: self.not_after,
            })
        }
    }
}

/// The bytes, because older certificates of SNS write the name as a `TeletexString`.
fn common_name(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => Some(name.as_slice().to_vec()),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_millis(time.timestamp().saturating_mul(1000))
}

fn keys(certificate: &X509Certificate<'_>) -> Option<Keys> {
    let key = certificate.public_key();
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
        return None;
    };
    if rsa.key_size() < 2048 {
        return None;
    }
    let der = &key.subject_public_key.data;
    let sha1 = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, der).ok()?;
    let sha256 = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok()?;
    Some(Keys { sha1, sha256 })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::envelope::TopicArn;
    use super::super::fixture;
    use super::super::region::site;
    use super::*;

    fn certificate(path: &str) -> Certificate {
        Certificate::from_pem(&fixture(path)).unwrap()
    }

    fn site_of(topic: &str) -> Site {
        let topic = TopicArn::parse(topic).unwrap();
        site(topic.partition(), topic.region()).unwrap()
    }

    #[test]
    fn only_the_exact_address_of_the_topics_region_is_a_certificates() {
        let cases: Value =
            serde_json::from_slice(&fixture("negative/cert_url_cases.json")).unwrap();
        let accepted = cases["accept_if_region_equals_TopicArn_region_and_configured"]
            .as_array()
            .unwrap();
        let sites = [
            "arn:aws:sns:us-east-1:123456789012:t",
            "arn:aws:sns:eu-central-1:123456789012:t",
            "arn:aws-us-gov:sns:us-gov-west-1:123456789012:t",
            "arn:aws-cn:sns:cn-north-1:123456789012:t",
        ]
        .map(site_of);
        assert_eq!(accepted.len(), sites.len());
        for (row, url) in accepted.iter().enumerate() {
            for (column, site) in sites.iter().enumerate() {
                let url = url.as_str().unwrap();
                assert_eq!(is_at(site, url), row == column, "{url} {}", site.host);
            }
        }
        let refused = cases["reject"].as_array().unwrap();
        assert_eq!(refused.len(), 27);
        for case in refused {
            let url = case["url"].as_str().unwrap();
            for site in &sites {
                assert!(!is_at(site, url), "{url}: {}", case["why"]);
            }
        }
    }

    #[test]
    fn oddities_that_parsers_mend_are_not_mended() {
        let site = site_of("arn:aws:sns:us-east-1:123456789012:t");
        let good = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem";
        assert!(is_at(&site, good));
        for bad in [
            good.replace("https", "HTTPS"),
            good.replace("sns.us", "SNS.us"),
            good.replace("https://", "https:/"),
            good.replace("https://", "https:///"),
            good.replace("https://", "https:\\\\"),
            good.replace("https://", "https://@"),
            good.replace(".com/", ".com:443/"),
            good.replace(".com/", ".com//"),
            good.replace(".com/", ".com/./"),
            good.replace(".com/", ".com\\"),
            good.replace("sns.us", "s\tns.us"),
            good.replace("SimpleNotification", "%53impleNotification"),
            good.replace("7506a1", "7506A1"),
            good.replace("7506a1", "7506a"),
            good.replace("7506a1", "7506a11"),
            good.replace("7506a1", "7506g1"),
            format!("{good}\n"),
            format!(" {good}"),
            format!("{good}\0"),
            format!("{good}?"),
            format!("{good}#"),
        ] {
            assert!(!is_at(&site, &bad), "{bad:?}");
        }
    }

    #[test]
    fn certificates_are_told_by_name_key_and_validity() {
        let at = Timestamp::parse("2026-01-15T10:00:00Z").unwrap();
        let good = certificate("test-signing/cert.pem");
        assert_eq!(good.bears("sns.amazonaws.com"), Ok(()));
        assert_eq!(good.valid_at(at), Ok(()));
        assert!(good.keys().is_ok());
        for other in [
            "sns.amazonaws.co",
            "sns.amazonaws.com.",
            "SNS.amazonaws.com",
            "",
        ] {
            assert!(good.bears(other).is_err(), "{other}");
        }

        let wrong = certificate("test-signing/cert_wrong_cn.pem");
        assert!(wrong.bears("sns.amazonaws.com").is_err());
        let opt_in = certificate("test-signing/cert_optin_region_cn.pem");
        assert_eq!(opt_in.bears("sns-signing.af-south-1.amazonaws.com"), Ok(()));
        assert!(opt_in.bears("sns.amazonaws.com").is_err());
        let elliptic = certificate("test-signing/cert_ec_key.pem");
        assert_eq!(elliptic.keys().unwrap_err(), Refusal::CertificateKey);
        for path in [
            "test-signing/cert_expired.pem",
            "test-signing/cert_not_yet_valid.pem",
        ] {
            let refusal = certificate(path).valid_at(at).unwrap_err();
            assert_eq!(refusal.label(), "certificate_validity", "{path}");
        }
    }

    #[test]
    fn the_validity_includes_both_of_its_ends() {
        let real = certificate("kat/java-v2_cert_7506a1e3.pem");
        let valid = |at: &str| real.valid_at(Timestamp::parse(at).unwrap()).is_ok();
        assert!(!valid("2025-11-09T23:59:59.999Z"));
        assert!(valid("2025-11-10T00:00:00.000Z"));
        assert!(valid("2026-10-14T23:59:59.000Z"));
        assert!(!valid("2026-10-15T00:00:00.000Z"));
    }

    #[test]
    fn a_name_in_an_old_string_type_is_read() {
        let old = certificate("kat/perl_cert_d6d679a1.pem");
        assert_eq!(old.bears("sns.amazonaws.com"), Ok(()));
        assert!(old.keys().is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let key = fixture("test-signing/key.pem");
        let cut = &fixture("test-signing/cert.pem")[..500];
        for bytes in [&b""[..], b"<Error>AccessDenied</Error>", &key, cut] {
            assert_eq!(Certificate::from_pem(bytes).unwrap_err(), NotACertificate);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_damage_to_a_certificate_makes_it_panic(place in 0_usize..900, byte in 0_u8..) {
            let pem = String::from_utf8(fixture("test-signing/cert.pem")).unwrap();
            let block = parse_x509_pem(pem.as_bytes()).unwrap().1;
            let mut der = block.contents;
            let place = place % der.len();
            der[place] = byte;
            let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
            let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
            Certificate::from_pem(pem.as_bytes()).ok();
        }
    }
}
