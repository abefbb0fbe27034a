//! Verification of client certificates.
//!
//! libvirt's clients expect the handshake to succeed with any certificate, and the connection to
//! end without an alert if the certificate is rejected (DM-1203). The handshake therefore only
//! proves that the client has the key of its certificate; the certificate itself is verified
//! afterwards. rustls-webpki parses no certificate of version 1 and none with an unknown critical
//! extension, so the key for the signature of the handshake is read here.

use super::ClientCertError;
use super::cert_check::{CertCheckError, CertRole, TlsSide, check_certificate};
use super::certificate::{Certificate, CertificateHead};
use super::dn::distinguished_name;
use crate::auth::matches_glob;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
};
use std::sync::Arc;
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, RawPublicKeyEntity, RevocationOptionsBuilder, UnknownStatusPolicy,
};

/// The identity of an accepted client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// The subject of the certificate, in the form of GnuTLS.
    pub name: String,
}

/// A verifier that accepts any certificate during the handshake and checks only the client's
/// signature.
#[derive(Debug)]
pub(super) struct DeferredVerifier {
    pub(super) provider: Arc<CryptoProvider>,
    /// Subjects of the CAs, from which clients choose a certificate.
    pub(super) hints: Vec<DistinguishedName>,
}

impl DeferredVerifier {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }
}

impl ClientCertVerifier for DeferredVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(cert)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| BAD_ENCODING)?;
        let mut mapping = self.algorithms().mapping.iter();
        let (_, algorithms) = mapping
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // In TLS 1.2 a scheme of ECDSA does not fix the curve: only the algorithm of the key's curve can verify.
        let is_valid = algorithms.iter().any(|algorithm| {
            key.verify_signature(*algorithm, message, dss.signature())
                .is_ok()
        });
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &public_key(cert)?, dss, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

/// The error for a certificate without a readable key.
const BAD_ENCODING: Error = Error::InvalidCertificate(CertificateError::BadEncoding);

/// Returns the key of a certificate of any version, with any extensions.
fn public_key<'a>(cert: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, Error> {
    let head = CertificateHead::read(cert).map_err(|_| BAD_ENCODING)?;
    Ok(SubjectPublicKeyInfoDer::from(head.public_key))
}

/// A CA and its dates, in seconds since 1970.
#[derive(Debug)]
pub(super) struct DatedAnchor {
    pub(super) anchor: TrustAnchor<'static>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// The rules for client certificates.
#[derive(Debug)]
pub(super) struct PeerPolicy {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) anchors: Vec<DatedAnchor>,
    pub(super) revocations: Vec<CertRevocationList<'static>>,
    /// Names of the revocation lists for messages, each with the last second of its validity.
    pub(super) list_names: Vec<(String, i64)>,
    /// Patterns for the subject; `None` allows all clients, an empty list allows none.
    pub(super) allowed: Option<Vec<String>>,
    /// If unset, rejected clients are accepted with a warning.
    pub(super) verify_clients: bool,
    /// If set, the extended key usage must include the purpose of a client.
    pub(super) strict_purpose: bool,
    /// Treatment of clients whose revocation list has expired.
    pub(super) expired_lists: ExpirationPolicy,
}

/// A validator that accepts any extended key usage, because [`check_certificate`] checks it.
struct AnyKeyUsage;

impl ExtendedKeyUsageValidator for AnyKeyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl PeerPolicy {
    /// Verifies the chain of a client, and returns its identity and a warning if there is one
    /// (DM-1205).
    pub(super) fn verify_client(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        now: Duration,
    ) -> Result<(TlsPeer, Option<CertCheckError>), ClientCertError> {
        let (end_entity, intermediates) = chain
            .and_then(<[_]>::split_first)
            .ok_or(ClientCertError::Missing)?;
        let malformed = ClientCertError::Unsuitable(CertCheckError::Malformed);
        let Ok(certificate) = Certificate::read(end_entity) else {
            return Err(malformed);
        };
        self.verify_chain(end_entity, intermediates, now, self.expired_lists)?;
        let seconds = now.as_secs() as i64;
        let role = if self.strict_purpose {
            CertRole::ClientOnly
        } else {
            CertRole::Client
        };
        let warning =
            check_certificate(&certificate, role, seconds).map_err(ClientCertError::Unsuitable)?;
        let name = distinguished_name(certificate.subject).ok_or(ClientCertError::Nameless)?;
        let is_allowed = self
            .allowed
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|pattern| matches_glob(pattern, &name)));
        if !is_allowed {
            return Err(ClientCertError::NotAllowed { name });
        }
        Ok((TlsPeer { name }, warning))
    }

    /// Returns the names of the lists that have expired.
    fn expired_list_names(&self, now: Duration) -> String {
        let now = now.as_secs() as i64;
        let expired = self.list_names.iter().filter(|(_, last)| *last < now);
        let names: Vec<&str> = expired.map(|(name, _)| &**name).collect();
        names.join(", ")
    }

    /// Verifies that the chain leads to a configured CA and that no certificate in it is revoked.
    pub(super) fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Duration,
        expired_lists: ExpirationPolicy,
    ) -> Result<(), ClientCertError> {
        // rustls-webpki ignores the dates of trust anchors.
        let valid = self.anchors.iter().filter(|authority| {
            (authority.not_before..=authority.not_after).contains(&(now.as_secs() as i64))
        });
        let anchors: Vec<_> = valid.map(|authority| authority.anchor.clone()).collect();
        let revocations: Vec<&CertRevocationList<'_>> = self.revocations.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&revocations)
            .ok()
            .map(|options| {
                options
                    .with_status_policy(UnknownStatusPolicy::Allow)
                    .with_expiration_policy(expired_lists)
                    .build()
            });
        let checked = EndEntityCert::try_from(end_entity).and_then(|certificate| {
            let algorithms = self.provider.signature_verification_algorithms.all;
            certificate
                .verify_for_usage(
                    algorithms,
                    &anchors,
                    intermediates,
                    UnixTime::since_unix_epoch(now),
                    AnyKeyUsage,
                    revocation,
                    None,
                )
                .map(drop)
        });
        checked.map_err(|error| match error {
            webpki::Error::UnknownIssuer => ClientCertError::UnknownIssuer,
            webpki::Error::CertRevoked => ClientCertError::Revoked,
            webpki::Error::CrlExpired { .. } => ClientCertError::RevocationListExpired {
                lists: self.expired_list_names(now),
            },
            webpki::Error::InvalidCrlSignatureForPublicKey => {
                ClientCertError::RevocationListSignature
            }
            webpki::Error::CertExpired { .. } => {
                ClientCertError::Unsuitable(CertCheckError::Expired)
            }
            webpki::Error::CertNotValidYet { .. } => {
                ClientCertError::Unsuitable(CertCheckError::NotYetValid)
            }
            // The check of a server's own certificate has found this before.
            webpki::Error::CaUsedAsEndEntity => {
                ClientCertError::Unsuitable(CertCheckError::IsCa(TlsSide::Client))
            }
            other => ClientCertError::Chain(chain_problem(&other)),
        })
    }
}

/// Describes a problem of a chain. rustls-webpki has only names for most.
fn chain_problem(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnsupportedCertVersion => {
            "a certificate is of X.509 version 1 or 2, and only version 3 is supported".to_owned()
        }
        webpki::Error::UnsupportedCriticalExtension => {
            "a certificate has a critical extension that is not supported".to_owned()
        }
        other => other.to_string(),
    }
}
