//! Which of the server's certificates a client is shown.

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The first certificate whose signature the client can check, in the order in which they were named. If it can
/// check none it is shown the first all the same, and told that the two of them have nothing in common.
#[derive(Debug)]
pub(super) struct FirstThatFits {
    first: Arc<CertifiedKey>,
    others: Vec<Arc<CertifiedKey>>,
}

impl FirstThatFits {
    /// `None` if there is no certificate.
    pub(super) fn new(certificates: Vec<Arc<CertifiedKey>>) -> Option<FirstThatFits> {
        let mut others = certificates.into_iter();
        let first = others.next()?;
        let others = others.collect();
        Some(FirstThatFits { first, others })
    }
}

impl ResolvesServerCert for FirstThatFits {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Those of them that go with none of the client's cipher suites have been left out.
        let schemes = hello.signature_schemes();
        let fits = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        let all = std::iter::once(&self.first).chain(&self.others);
        Some(Arc::clone(
            all.into_iter().find(fits).unwrap_or(&self.first),
        ))
    }
}
