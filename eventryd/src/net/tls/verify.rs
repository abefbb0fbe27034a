//! Who is let in.
//!
//! libvirt's clients expect the handshake to succeed whatever their certificate, and to be cut off without a
//! word if it is refused (DM-1203). So the handshake itself only proves that the client has the key of the
//! certificate it shows; what the certificate is worth is found out afterwards.

use super::PeerRefusal;
use super::certificate::Certificate;
use super::dn::distinguished_name;
use super::sanity::{Role, Unsuited, check};
use crate::auth::matches_glob;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, RevocationOptionsBuilder, UnknownStatusPolicy,
};

/// A client that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// The subject of its certificate, as GnuTLS writes it.
    pub name: String,
}

/// Leaves the certificate to be judged later, and checks that it is the client's own.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) provider: Arc<CryptoProvider>,
    /// The names of the authorities, from which clients tell which certificate is wanted.
    pub(super) hints: Vec<DistinguishedName>,
}

impl Deferred {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }
}

impl ClientCertVerifier for Deferred {
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
        verify_tls12_signature(message, cert, dss, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

/// An authority, and until when it is one.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) anchor: TrustAnchor<'static>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// Who is let in.
#[derive(Debug)]
pub(super) struct PeerPolicy {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) anchors: Vec<Anchor>,
    pub(super) revocations: Vec<CertRevocationList<'static>>,
    /// Patterns for the subject; `None` allows all, an empty list nobody.
    pub(super) allowed: Option<Vec<String>>,
    /// Otherwise everybody is let in.
    pub(super) verify: bool,
}

/// What a certificate may be used for is checked apart, by [`check`].
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl PeerPolicy {
    /// Judges the chain that a client has shown, and says what to warn of (DM-1205).
    pub(super) fn judge(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        now: Duration,
    ) -> Result<(TlsPeer, Option<Unsuited>), PeerRefusal> {
        let (end_entity, others) = chain
            .and_then(<[_]>::split_first)
            .ok_or(PeerRefusal::Missing)?;
        let malformed = PeerRefusal::Unsuited(Unsuited::Malformed);
        let Ok(certificate) = Certificate::read(end_entity) else {
            return Err(malformed);
        };
        self.check_chain(end_entity, others, now)?;
        let seconds = now.as_secs() as i64;
        let warning = check(&certificate, Role::Client, seconds).map_err(PeerRefusal::Unsuited)?;
        let name = distinguished_name(certificate.subject).ok_or(PeerRefusal::Nameless)?;
        let is_allowed = self
            .allowed
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|pattern| matches_glob(pattern, &name)));
        if !is_allowed {
            return Err(PeerRefusal::NotAllowed { name });
        }
        Ok((TlsPeer { name }, warning))
    }

    /// Checks that the chain leads to one of the authorities, and that nothing in it was revoked.
    pub(super) fn check_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: Duration,
    ) -> Result<(), PeerRefusal> {
        // rustls-webpki does not know until when an authority is one.
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
                    .with_expiration_policy(ExpirationPolicy::Enforce)
                    .build()
            });
        let checked = EndEntityCert::try_from(end_entity).and_then(|certificate| {
            let algorithms = self.provider.signature_verification_algorithms.all;
            certificate
                .verify_for_usage(
                    algorithms,
                    &anchors,
                    others,
                    UnixTime::since_unix_epoch(now),
                    AnyPurpose,
                    revocation,
                    None,
                )
                .map(drop)
        });
        checked.map_err(|error| match error {
            webpki::Error::UnknownIssuer => PeerRefusal::UnknownIssuer,
            webpki::Error::CertRevoked => PeerRefusal::Revoked,
            webpki::Error::CrlExpired { .. } => PeerRefusal::RevocationListExpired,
            webpki::Error::CertExpired { .. } => PeerRefusal::Unsuited(Unsuited::Expired),
            webpki::Error::CertNotValidYet { .. } => PeerRefusal::Unsuited(Unsuited::NotYetValid),
            other => PeerRefusal::Chain(other.to_string()),
        })
    }
}
