//! What STARTTLS and TLS from the first byte need: the system's trust, and a private authority's.

use std::path::Path;
use std::sync::Arc;

use lettre::transport::smtp::client::{Certificate, TlsParameters};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use crate::transport::settings::Problem;

#[derive(Clone)]
pub(super) struct Tls {
    /// For STARTTLS, which the client library does.
    pub(super) parameters: TlsParameters,
    /// For TLS from the first byte.
    pub(super) connector: TlsConnector,
}

impl Tls {
    pub(super) fn new(host: &str, ca_file: Option<&Path>) -> Result<Self, Problem> {
        let authorities = match ca_file {
            Some(path) => authorities(path)?,
            None => Vec::new(),
        };
        let unusable = |e: String| Problem::new("url", format!("TLS cannot be set up: {e}"));
        let mut parameters = TlsParameters::builder(host.to_owned());
        for der in &authorities {
            let certificate = Certificate::from_der(der.to_vec());
            let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
            parameters = parameters.add_root_certificate(certificate);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider))
            .map_err(|e| unusable(e.to_string()))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(e.to_string()))?
            .dangerous() // so it is called; the verifier is the platform's
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self {
            parameters: parameters.build().map_err(|e| unusable(e.to_string()))?,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let unreadable = |e: String| Problem::new("tls_ca_file", format!("cannot be read: {e}"));
    let pem = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|e| unreadable(e.to_string()))?;
    if found.is_empty() {
        return Err(Problem::new(
            "tls_ca_file",
            "has no certificate in PEM form",
        ));
    }
    Ok(found)
}
