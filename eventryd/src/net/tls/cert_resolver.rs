//! Choice of the server certificate for a connection.

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The server certificates in the configured order. A client gets the first one with a signature
/// scheme that it supports. If there is none, it gets the first certificate, and the handshake
/// fails with an alert.
#[derive(Debug)]
pub(super) struct CertResolver {
    first: Arc<CertifiedKey>,
    others: Vec<Arc<CertifiedKey>>,
}

impl CertResolver {
    /// Creates a resolver; `None` if there is no certificate.
    pub(super) fn new(certificates: Vec<Arc<CertifiedKey>>) -> Option<CertResolver> {
        let mut others = certificates.into_iter();
        let first = others.next()?;
        let others = others.collect();
        Some(CertResolver { first, others })
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has removed the schemes that do not fit any of the client's cipher suites.
        let schemes = hello.signature_schemes();
        let is_supported =
            |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        let candidates = std::iter::once(&self.first).chain(&self.others);
        Some(Arc::clone(
            candidates
                .into_iter()
                .find(is_supported)
                .unwrap_or(&self.first),
        ))
    }
}
