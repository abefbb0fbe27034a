//! The state shared by TLS connections: loaded and checked as a whole, replaced as a whole.

use super::cert_check::{CertCheckError, CertRole, check_certificate};
use super::cert_resolver::CertResolver;
use super::certificate::Certificate;
use super::expiry::ExpiryWatch;
use super::files::{self, LoadedFiles, REVOCATIONS, ServerIdentity, content_error};
use super::key::unsupported_key;
use super::priority::{TlsVersions, rustls_versions};
use super::provider::provider;
use super::revocation::{check_every_list, list_names, newest_lists, parse_lists};
use super::verify::{DatedAnchor, DeferredVerifier, PeerPolicy};
use super::{ClientCertError, TlsConfigError, TlsFiles};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, ExpirationPolicy, anchor_from_trusted_cert};

/// The TLS settings of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Paths of keys and certificates.
    pub files: TlsFiles,
    /// Patterns for the subjects of clients; `None` allows all clients, an empty list allows none
    /// (DM-1205).
    pub allowed_dn: Option<Vec<String>>,
    /// If set, clients whose certificate is rejected are disconnected (DM-1204).
    pub verify_clients: bool,
    /// If set, the server's own certificates are checked when they are loaded (DM-1202).
    pub sanity_checks: bool,
    /// If set, a private key that all users can read is an error, otherwise a warning.
    pub verify_key_mode: bool,
    /// If set, a certificate whose extended key usage lacks the purpose `clientAuth` is rejected even
    /// if that extension is not critical (DM-1214).
    pub strict_purpose: bool,
    /// Location of the setting that names the revocation list, for a warning if the file is missing;
    /// `None` if the path is the default one.
    pub crl_origin: Option<String>,
    /// If set, each CA must have a revocation list, and clients of a CA whose list has expired are
    /// rejected (DM-1212).
    pub require_current_crl: bool,
    /// GnuTLS priority string; [`TlsVersions::from_priority`](super::TlsVersions::from_priority)
    /// lists the supported parts (DM-1207).
    pub priority: Option<String>,
}

impl TlsSettings {
    /// Returns the defaults with keys and certificates from `files`.
    ///
    /// ```
    /// use eventryd::net::tls::{TlsFiles, TlsSettings};
    ///
    /// let settings = TlsSettings::new(TlsFiles::default_for(None, |_| false));
    /// assert!(settings.verify_clients);
    /// ```
    #[must_use]
    pub const fn new(files: TlsFiles) -> TlsSettings {
        TlsSettings {
            files,
            allowed_dn: None,
            verify_clients: true,
            sanity_checks: true,
            verify_key_mode: true,
            strict_purpose: false,
            crl_origin: None,
            require_current_crl: false,
            priority: None,
        }
    }
}

/// The state shared by TLS connections.
///
/// A context never changes. A reload creates a new one for new connections; open connections keep
/// theirs (DM-1209).
pub struct TlsContext {
    pub(super) config: Arc<ServerConfig>,
    pub(super) policy: PeerPolicy,
    pub(super) clock: fn() -> Duration,
    warnings: Vec<String>,
    expiry: ExpiryWatch,
}

impl TlsContext {
    /// Loads and checks all files. `clock` returns the time since 1970; it is called here and for
    /// each client. [`wall_clock`](super::wall_clock) is the system's clock.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError`] for the first problem found.
    pub fn load(
        settings: &TlsSettings,
        clock: fn() -> Duration,
    ) -> Result<TlsContext, TlsConfigError> {
        TlsContext::load_collecting_errors(settings, clock).map_err(|mut errors| errors.remove(0))
    }

    /// Like [`load`](TlsContext::load), but with all errors of files.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError`] for each file that cannot be used or, if there is none, for the first problem found.
    pub fn load_collecting_errors(
        settings: &TlsSettings,
        clock: fn() -> Duration,
    ) -> Result<TlsContext, Vec<TlsConfigError>> {
        let loaded = LoadedFiles::load(&settings.files, settings.verify_key_mode)?;
        TlsContext::from_files(loaded, settings, clock).map_err(|error| vec![error])
    }

    /// Checks the content of the files.
    fn from_files(
        mut loaded: LoadedFiles,
        settings: &TlsSettings,
        clock: fn() -> Duration,
    ) -> Result<TlsContext, TlsConfigError> {
        let files = &settings.files;
        loaded.revocations = newest_lists(loaded.revocations);
        let expiry = ExpiryWatch::new(&loaded, files);
        let LoadedFiles {
            authorities,
            revocations,
            server,
            mut warnings,
        } = loaded;
        let provider = Arc::new(provider());
        if settings.sanity_checks {
            let now = clock().as_secs() as i64;
            let authority = (files::AUTHORITY, &*files.ca, CertRole::Ca);
            for certificate in &authorities {
                warnings.extend(check_own(certificate, authority, now)?);
            }
            for (server, files) in server.iter().zip(&files.server) {
                for (place, certificate) in server.chain.iter().enumerate() {
                    let role = if place == 0 {
                        CertRole::Server
                    } else {
                        CertRole::Ca
                    };
                    let checked = (files::CERTIFICATE, &*files.certificate, role);
                    warnings.extend(check_own(certificate, checked, now)?);
                }
            }
        }

        let anchors = dated_anchors(&authorities, &files.ca)?;
        if settings.require_current_crl {
            let subjects = anchors.iter().map(|authority| &*authority.anchor.subject);
            check_every_list(subjects, &revocations, files)?;
        } else if let (true, Some(origin), Some(path)) =
            (revocations.is_empty(), &settings.crl_origin, &files.crl)
        {
            let path = path.display();
            warnings.push(format!(
                "{origin}: the {REVOCATIONS} {path} does not exist: no client certificate is revoked; \
                 install the list that the CA issues, or set `crl_file` to \"\""
            ));
        }
        let policy = PeerPolicy {
            provider: Arc::clone(&provider),
            anchors,
            list_names: list_names(&revocations, files.crl.as_deref()),
            revocations: parse_lists(&revocations, files.crl.as_deref())?,
            allowed: settings.allowed_dn.clone(),
            verify_clients: settings.verify_clients,
            strict_purpose: settings.strict_purpose,
            expired_lists: if settings.require_current_crl {
                ExpirationPolicy::Enforce
            } else {
                ExpirationPolicy::Ignore
            },
        };
        let mut certificates = Vec::new();
        for (ServerIdentity { chain, key }, of) in server.into_iter().zip(&files.server) {
            EndEntityCert::try_from(&chain[0]).map_err(|error| {
                content_error(files::CERTIFICATE, &of.certificate, parse_problem(&error))
            })?;
            if settings.sanity_checks {
                // An expired revocation list does not prevent the start, whatever it means for clients.
                let expired_lists = ExpirationPolicy::Ignore;
                let checked = policy.verify_chain(&chain[0], &chain[1..], clock(), expired_lists);
                checked.map_err(|error| match (error, &files.crl) {
                    (ClientCertError::RevocationListSignature, Some(list)) => {
                        let reason = "it is not signed by its CA; install the one of the CA";
                        content_error(files::REVOCATIONS, list, reason.to_owned())
                    }
                    (error, _) => TlsConfigError::Chain {
                        remedy: chain_remedy(&error),
                        certificate: of.certificate.clone(),
                        authority: files.ca.clone(),
                        reason: error.to_string(),
                    },
                })?;
            }
            let unsupported = unsupported_key(&key);
            let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
                let reason = unsupported.unwrap_or_else(|| key_error(&error));
                content_error(files::KEY, &of.key, reason)
            })?;
            certificates.push(Arc::new(certified));
        }
        let certificates = CertResolver::new(certificates).ok_or_else(|| {
            TlsConfigError::Setup("no server certificate is configured".to_owned())
        })?;
        let versions =
            TlsVersions::from_priority(settings.priority.as_deref().unwrap_or("NORMAL"))?;
        let hints = policy.anchors.iter();
        let hints = hints.map(|authority| authority.anchor.subject.to_vec());
        let verifier = DeferredVerifier {
            provider: Arc::clone(&provider),
            hints: hints
                .map(|subject| encode_sequence(&subject).into())
                .collect(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&rustls_versions(versions))
            .map_err(|error| TlsConfigError::Setup(error.to_string()))?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(certificates));
        // libvirt's clients read the record of a session ticket instead of the confirmation byte,
        // and fail.
        config.send_tls13_tickets = 0;
        // A resumed session would skip the check against certificates loaded since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(TlsContext {
            config: Arc::new(config),
            policy,
            clock,
            warnings,
            expiry,
        })
    }

    /// Returns the warnings about the loaded keys and certificates, without those about their expiry.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns `true` if a revocation list is in force.
    #[must_use]
    pub fn has_revocation_list(&self) -> bool {
        !self.policy.revocations.is_empty()
    }

    /// Returns a watch for the expiry of the loaded certificates and revocation lists.
    #[must_use]
    pub fn expiry_watch(&self) -> ExpiryWatch {
        self.expiry.clone()
    }
}

impl fmt::Debug for TlsContext {
    /// Omits the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsContext")
            .field("authorities", &self.policy.anchors.len())
            .field("revocations", &self.policy.revocations.len())
            .field("allowed", &self.policy.allowed)
            .field("verify", &self.policy.verify_clients)
            .finish_non_exhaustive()
    }
}

/// Checks a configured certificate, and returns a warning if only a non-critical extension forbids
/// its role.
fn check_own(
    certificate: &CertificateDer<'_>,
    (what, path, role): (&'static str, &Path, CertRole),
    now: i64,
) -> Result<Option<String>, TlsConfigError> {
    let checked = Certificate::read(certificate)
        .map_err(|_| CertCheckError::Malformed)
        .and_then(|certificate| check_certificate(&certificate, role, now));
    match checked {
        Ok(None) => Ok(None),
        Ok(Some(problem)) => Ok(Some(format!("the {what} {}: {problem}", path.display()))),
        Err(problem) => {
            let path = path.to_owned();
            Err(TlsConfigError::Certificate {
                what,
                path,
                problem,
            })
        }
    }
}

fn dated_anchors(
    authorities: &[CertificateDer<'_>],
    path: &Path,
) -> Result<Vec<DatedAnchor>, TlsConfigError> {
    let ca_error = |reason: String| content_error(files::AUTHORITY, path, reason);
    let anchor = |der: &CertificateDer<'_>| {
        let anchor =
            anchor_from_trusted_cert(der).map_err(|error| ca_error(parse_problem(&error)))?;
        let certificate = Certificate::read(der);
        let certificate =
            certificate.map_err(|_| ca_error(CertCheckError::Malformed.to_string()))?;
        Ok(DatedAnchor {
            anchor: anchor.to_owned(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        })
    };
    authorities.iter().map(anchor).collect()
}

/// Adds the SEQUENCE header, which hints contain and the subjects of trust anchors lack.
fn encode_sequence(content: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    super::der::write_element(&mut whole, super::der::tag::SEQUENCE, content);
    whole
}

/// Returns the reason why rustls-webpki cannot read a certificate, and what to do.
fn parse_problem(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnsupportedCertVersion => {
            "it is of X.509 version 1 or 2, and only version 3 is supported; have it signed again as version 3, as \
             certtool does, and openssl with extensions (`openssl x509 -req -extfile FILE`)"
                .to_owned()
        }
        webpki::Error::UnsupportedCriticalExtension => {
            "it has a critical extension that eventryd does not know; have it signed again without that extension, or \
             with one that is not critical"
                .to_owned()
        }
        other => format!("it is malformed ({other}); replace it"),
    }
}

/// Returns what to do about a server certificate that cannot be verified.
fn chain_remedy(error: &ClientCertError) -> &'static str {
    match error {
        ClientCertError::UnknownIssuer => "install the certificate of the CA that signed it",
        _ => "replace the server certificate",
    }
}

/// Returns the cause of a key that rustls rejects.
fn key_error(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the key does not match the server certificate".to_owned()
        }
        other => format!(
            "{other}; supported are RSA keys of at least 2048 bits, P-256, P-384, Ed25519 and, with \
             --features tls-aws-lc, P-521, as written by certtool and openssl"
        ),
    }
}
