//! Which of the server's certificates a client is shown.

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The first certificate whose signature the client can check, in the order in which they were named. If it can
/// check none it is shown the first candidates the same, and told that the two of them have nothing in common.
#[derive(Debug)]
pub(super) struct CertResolver {
    first: Arc<CertifiedKey>,
    others: Vec<Arc<CertifiedKey>>,
}

impl CertResolver {
    /// `None` if there is no certificate.
    pub(super) fn new(certificates: Vec<Arc<CertifiedKey>>) -> Option<CertResolver> {
        let mut others = certificates.into_iter();
        let first = others.next()?;
        let others = others.collect();
        Some(CertResolver { first, others })
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Those of them that go with none of the client's cipher suites have been left out.
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
