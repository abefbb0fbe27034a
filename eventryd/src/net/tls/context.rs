//! Everything that TLS connections share: loaded, checked and put together once, replaced as a whole.

use super::certificate::Certificate;
use super::choice::FirstThatFits;
use super::files::{self, Material, ServerMaterial, content};
use super::priority::{TlsVersions, supported};
use super::sanity::{Role, Unsuited, check};
use super::verify::{Anchor, Deferred, PeerPolicy};
use super::{TlsError, TlsFiles, TlsSession};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use webpki::{CertRevocationList, OwnedCertRevocationList, anchor_from_trusted_cert};

/// What an operator chooses about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Keys and certificates.
    pub files: TlsFiles,
    /// Patterns for the subjects of clients; `None` allows all, an empty list nobody (DM-1205).
    pub allowed_dn: Option<Vec<String>>,
    /// Whether clients whose certificate is refused are cut off (DM-1204).
    pub verify_clients: bool,
    /// Whether our own certificates are checked when they are loaded (DM-1202).
    pub sanity_checks: bool,
    /// A GnuTLS priority string, of which [`TlsVersions::of_priority`](super::TlsVersions::of_priority) says what is understood (DM-1207).
    pub priority: Option<String>,
}

/// Everything that TLS connections share.
///
/// It never changes: what is loaded anew is a new one, for new connections, and those that are open keep
/// theirs (DM-1209).
pub struct TlsContext {
    pub(super) config: Arc<ServerConfig>,
    pub(super) policy: PeerPolicy,
    pub(super) clock: fn() -> Duration,
    warnings: Vec<String>,
}

impl TlsContext {
    /// Loads and checks everything. `clock` tells the time since 1970, now and when clients come;
    /// [`wall_clock`](super::wall_clock) is that of the system.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; nothing is used then.
    pub fn load(settings: &TlsSettings, clock: fn() -> Duration) -> Result<TlsContext, TlsError> {
        let files = &settings.files;
        let Material {
            authorities,
            revocations,
            server,
        } = Material::load(files)?;
        let provider = Arc::new(ring::default_provider());
        let mut warnings = Vec::new();
        if settings.sanity_checks {
            let now = clock().as_secs() as i64;
            let authority = (files::AUTHORITY, &*files.ca, Role::Authority);
            for certificate in &authorities {
                warnings.extend(suited(certificate, authority, now)?);
            }
            for (server, files) in server.iter().zip(&files.server) {
                for (place, certificate) in server.chain.iter().enumerate() {
                    let role = if place == 0 {
                        Role::Server
                    } else {
                        Role::Authority
                    };
                    let checked = (files::CERTIFICATE, &*files.certificate, role);
                    warnings.extend(suited(certificate, checked, now)?);
                }
            }
        }

        let policy = PeerPolicy {
            provider: Arc::clone(&provider),
            anchors: anchors(&authorities, &files.ca)?,
            revocations: revocation_lists(&revocations, files.crl.as_deref())?,
            allowed: settings.allowed_dn.clone(),
            verify: settings.verify_clients,
        };
        let mut shown = Vec::new();
        for (ServerMaterial { chain, key }, of) in server.into_iter().zip(&files.server) {
            if settings.sanity_checks {
                let checked = policy.check_chain(&chain[0], &chain[1..], clock());
                checked.map_err(|refusal| TlsError::Chain {
                    certificate: of.certificate.clone(),
                    authority: files.ca.clone(),
                    reason: refusal.to_string(),
                })?;
            }
            let certified = CertifiedKey::from_der(chain, key, &provider)
                .map_err(|error| content(files::KEY, &of.key, unusable(&error)))?;
            shown.push(Arc::new(certified));
        }
        let shown = FirstThatFits::new(shown)
            .ok_or_else(|| TlsError::Setup("no server certificate is named".to_owned()))?;
        let versions = TlsVersions::of_priority(settings.priority.as_deref().unwrap_or("NORMAL"))?;
        let hints = policy.anchors.iter();
        let hints = hints.map(|authority| authority.anchor.subject.to_vec());
        let verifier = Deferred {
            provider: Arc::clone(&provider),
            hints: hints.map(|subject| in_sequence(&subject).into()).collect(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&supported(versions))
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(shown));
        // A client of libvirt takes the records of tickets for the byte it waits for, and gives up.
        config.send_tls13_tickets = 0;
        // A session that is resumed would not be judged by what has been loaded since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(TlsContext {
            config: Arc::new(config),
            policy,
            clock,
            warnings,
        })
    }

    /// What an operator should know of the certificates that were loaded.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The server's side of a connection that was just accepted.
    ///
    /// # Errors
    ///
    /// [`TlsError::Setup`], which does not happen with what [`load`](TlsContext::load) makes.
    pub fn accept(self: &Arc<TlsContext>) -> Result<TlsSession, TlsError> {
        TlsSession::new(self)
    }
}

impl fmt::Debug for TlsContext {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsContext")
            .field("authorities", &self.policy.anchors.len())
            .field("revocations", &self.policy.revocations.len())
            .field("allowed", &self.policy.allowed)
            .field("verify", &self.policy.verify)
            .finish_non_exhaustive()
    }
}

/// Checks one of our own certificates.
fn suited(
    certificate: &CertificateDer<'_>,
    (what, path, role): (&'static str, &Path, Role),
    now: i64,
) -> Result<Option<String>, TlsError> {
    let checked = Certificate::read(certificate)
        .map_err(|_| Unsuited::Malformed)
        .and_then(|certificate| check(&certificate, role, now));
    match checked {
        Ok(None) => Ok(None),
        Ok(Some(unsuited)) => Ok(Some(format!("the {what} {}: {unsuited}", path.display()))),
        Err(unsuited) => {
            let path = path.to_owned();
            Err(TlsError::Unsuited {
                what,
                path,
                unsuited,
            })
        }
    }
}

fn anchors(authorities: &[CertificateDer<'_>], path: &Path) -> Result<Vec<Anchor>, TlsError> {
    let unusable = |reason: String| content(files::AUTHORITY, path, reason);
    let anchor = |der: &CertificateDer<'_>| {
        let anchor = anchor_from_trusted_cert(der).map_err(|error| unusable(error.to_string()))?;
        let certificate = Certificate::read(der);
        let certificate = certificate.map_err(|_| unusable(Unsuited::Malformed.to_string()))?;
        Ok(Anchor {
            anchor: anchor.to_owned(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        })
    };
    authorities.iter().map(anchor).collect()
}

fn revocation_lists(
    lists: &[impl AsRef<[u8]>],
    path: Option<&Path>,
) -> Result<Vec<CertRevocationList<'static>>, TlsError> {
    let list = |der: &[u8]| {
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| {
            let reason = format!("{error}; it must be of version 2");
            content(files::REVOCATIONS, path.unwrap_or(Path::new("")), reason)
        })?;
        Ok(list.into())
    };
    lists.iter().map(|der| list(der.as_ref())).collect()
}

/// The subject of an anchor lacks the SEQUENCE around it, which the hint has.
fn in_sequence(content: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    super::der::write(&mut whole, super::der::tag::SEQUENCE, content);
    whole
}

/// What to tell of a key that rustls does not take.
fn unusable(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "it does not belong to the server certificate".to_owned()
        }
        other => format!(
            "{other}; keys may be RSA of 2048 bits and more, P-256, P-384 or Ed25519, \
             such as certtool and openssl write"
        ),
    }
}
