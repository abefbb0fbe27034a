//! The cryptography of TLS.

use rustls::crypto::CryptoProvider;

#[cfg(feature = "tls-aws-lc")]
use rustls::crypto::aws_lc_rs as implementation;
#[cfg(not(feature = "tls-aws-lc"))]
use rustls::crypto::ring as implementation;

/// Returns the provider of this build.
pub(super) fn provider() -> CryptoProvider {
    implementation::default_provider()
}
