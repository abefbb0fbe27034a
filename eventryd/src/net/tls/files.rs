//! Files with keys and certificates.

use super::TlsConfigError;
use super::key::parse_private_key;
use super::key_mode::{KeyExposure, access_text, is_foreign_owner, key_exposure};
use crate::trusted_path::{LastComponent, Replacer, threats_to};
use crate::whole_file::read_whole;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Paths of keys and certificates (DM-1201).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the CAs that sign those of the server and of its clients.
    pub ca: PathBuf,
    /// Revocation list of these CAs. A missing file revokes nothing.
    pub crl: Option<PathBuf>,
    /// The server's certificates, at least one. A client gets the first one whose signature it can
    /// verify.
    pub server: Vec<ServerFiles>,
}

/// A server certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// The certificate, followed by the intermediates up to a CA.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Returns the paths that libvirt uses by default: those of the system, and for a user with the
    /// home directory `home` the existing files in it. The certificate and the key in it are used
    /// only if both exist.
    ///
    /// ```
    /// use eventryd::net::tls::TlsFiles;
    /// use std::path::Path;
    ///
    /// let files = TlsFiles::default_for(None, |_| false);
    /// assert_eq!(files.server[0].key, Path::new("/etc/pki/libvirt/private/serverkey.pem"));
    /// let files = TlsFiles::default_for(Some(Path::new("/h")), |path| path.ends_with("cacert.pem"));
    /// assert_eq!(files.ca, Path::new("/h/.pki/libvirt/cacert.pem"));
    /// assert_eq!(files.server[0].certificate, Path::new("/etc/pki/libvirt/servercert.pem"));
    /// ```
    #[must_use]
    pub fn default_for(home: Option<&Path>, exists: impl Fn(&Path) -> bool) -> TlsFiles {
        let own = |name: &str| home.map(|home| home.join(".pki/libvirt").join(name));
        let either = |name: &str, system: &str| {
            let found = own(name).filter(|path| exists(path));
            found.unwrap_or_else(|| PathBuf::from(system))
        };
        let pair = own("servercert.pem").zip(own("serverkey.pem"));
        let pair = pair.filter(|(certificate, key)| exists(certificate) && exists(key));
        let (certificate, key) = pair.unwrap_or_else(|| {
            let certificate = "/etc/pki/libvirt/servercert.pem".into();
            (certificate, "/etc/pki/libvirt/private/serverkey.pem".into())
        });
        TlsFiles {
            ca: either("cacert.pem", "/etc/pki/CA/cacert.pem"),
            crl: Some(either("cacrl.pem", "/etc/pki/CA/cacrl.pem")),
            server: vec![ServerFiles { certificate, key }],
        }
    }
}

/// The parsed content of the files.
#[derive(Debug)]
pub(super) struct LoadedFiles {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) revocations: Vec<CertificateRevocationListDer<'static>>,
    /// In the order of the files.
    pub(super) server: Vec<ServerIdentity>,
    /// Warnings about the modes and the paths of private keys.
    pub(super) warnings: Vec<String>,
}

/// A server certificate with its intermediates and its key.
#[derive(Debug)]
pub(super) struct ServerIdentity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) const AUTHORITY: &str = "CA certificate";
pub(super) const CERTIFICATE: &str = "server certificate";
pub(super) const KEY: &str = "private key";
pub(super) const REVOCATIONS: &str = "certificate revocation list";

impl LoadedFiles {
    /// Reads all files. With `verify_key_mode` unset, a private key that all users can read or replace is a
    /// warning instead of an error. Returns an error for each file that cannot be used.
    pub(super) fn load(
        files: &TlsFiles,
        verify_key_mode: bool,
    ) -> Result<LoadedFiles, Vec<TlsConfigError>> {
        let mut errors = Vec::new();
        let revocations = load_revocations(files.crl.as_deref());
        let revocations = value_or_record(revocations, &mut errors);
        let authorities = value_or_record(load_pem(AUTHORITY, &files.ca), &mut errors);
        let mut warnings = Vec::new();
        let mut server = Vec::new();
        for of_server in &files.server {
            match ServerIdentity::load(of_server, verify_key_mode) {
                Ok((identity, of_key)) => {
                    server.push(identity);
                    warnings.extend(of_key);
                }
                Err(of_server) => errors.extend(of_server),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(LoadedFiles {
            authorities,
            revocations,
            server,
            warnings,
        })
    }
}

impl ServerIdentity {
    /// Reads a certificate and its key. Returns warnings about the mode, the owner and the path of the key too.
    fn load(
        files: &ServerFiles,
        verify_key_mode: bool,
    ) -> Result<(ServerIdentity, Vec<String>), Vec<TlsConfigError>> {
        let key = load_key(&files.key, verify_key_mode);
        let chain = load_pem(CERTIFICATE, &files.certificate);
        match (key, chain) {
            (Ok((key, warnings)), Ok(chain)) => Ok((ServerIdentity { chain, key }, warnings)),
            (key, chain) => Err(key.err().into_iter().chain(chain.err()).collect()),
        }
    }
}

/// Returns the value of a result, or records its error and returns an empty value.
fn value_or_record<T: Default>(
    result: Result<T, TlsConfigError>,
    errors: &mut Vec<TlsConfigError>,
) -> T {
    result.unwrap_or_else(|error| {
        errors.push(error);
        T::default()
    })
}

/// Reads the revocation lists. A missing file has none.
fn load_revocations(
    path: Option<&Path>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    match File::open(path).and_then(read_whole) {
        Ok(text) => parse_pem(REVOCATIONS, path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(read_error(REVOCATIONS, path)(source)),
    }
}

/// Reads a private key, and returns warnings about its mode and its owner too.
fn load_key(
    path: &Path,
    verify_mode: bool,
) -> Result<(PrivateKeyDer<'static>, Vec<String>), TlsConfigError> {
    let (text, metadata) = read_key(path)?;
    let key = parse_private_key(&text).map_err(|error| {
        let is_encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        let reason = if is_encrypted {
            "it is encrypted, and the daemon cannot ask for a password; decrypt it".to_owned()
        } else {
            pem_error_text(&error)
        };
        content_error(KEY, path, reason)
    })?;
    // After the content: another kind of file is to be replaced, not protected.
    let mut warnings = check_key_mode(path, &metadata, verify_mode)?;
    warnings.extend(check_key_path(path, verify_mode)?);
    Ok((key, warnings))
}

/// Reads a private key, and the metadata of the opened file.
fn read_key(path: &Path) -> Result<(Vec<u8>, Metadata), TlsConfigError> {
    let file = File::open(path).map_err(read_error(KEY, path))?;
    let metadata = file.metadata().map_err(read_error(KEY, path))?;
    let text = read_whole(file).map_err(read_error(KEY, path))?;
    Ok((text, metadata))
}

/// Checks the mode and the owner of a private key, and returns warnings about them.
fn check_key_mode(
    path: &Path,
    metadata: &Metadata,
    verify_mode: bool,
) -> Result<Vec<String>, TlsConfigError> {
    let mode = metadata.mode() & 0o7777;
    let warning = match key_exposure(mode, metadata.gid()) {
        KeyExposure::Private => None,
        KeyExposure::Group => {
            let group = metadata.gid();
            let access = access_text(mode >> 3);
            Some(format!("the members of group {group} can {access}"))
        }
        KeyExposure::Everyone if verify_mode => {
            let path = path.to_owned();
            return Err(TlsConfigError::KeyMode { path, mode });
        }
        KeyExposure::Everyone => Some(format!("all users can {}", access_text(mode))),
    };
    let warning = warning.map(|who| {
        let path = path.display();
        format!("the {KEY} {path} has mode {mode:04o}: {who}; run `chmod 600 {path}`")
    });
    let mut warnings = Vec::from_iter(warning);
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if is_foreign_owner(owner, own) {
        let path = path.display();
        warnings.push(format!(
            "the {KEY} {path} belongs to the user {owner}, who can use it; run `chown {own} {path}`"
        ));
    }
    Ok(warnings)
}

/// Checks the directories and links on the path of a private key, and returns warnings about them.
fn check_key_path(path: &Path, verify_mode: bool) -> Result<Vec<String>, TlsConfigError> {
    let own = rustix::process::geteuid().as_raw();
    let mut warnings = Vec::new();
    for threat in threats_to(path, LastComponent::Existing, own) {
        let replacer = match threat.by {
            Replacer::Everyone if verify_mode => {
                return Err(TlsConfigError::KeyPath {
                    path: path.to_owned(),
                    reason: threat.reason,
                    remedy: threat.remedy,
                });
            }
            Replacer::Everyone => "all users".to_owned(),
            Replacer::Group(group) => format!("the members of group {group}"),
            Replacer::User(user) => format!("the user {user}"),
        };
        let (path, reason, remedy) = (path.display(), threat.reason, threat.remedy);
        warnings.push(format!(
            "the {KEY} {path} can be replaced by {replacer}: {reason}; {remedy}"
        ));
    }
    Ok(warnings)
}

/// Reads all objects of a type in a PEM file.
fn load_pem<T: PemObject>(what: &'static str, path: &Path) -> Result<Vec<T>, TlsConfigError> {
    let content = File::open(path).and_then(read_whole);
    parse_pem(what, path, &content.map_err(read_error(what, path))?)
}

fn read_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TlsConfigError {
    let path = path.to_owned();
    move |source| TlsConfigError::Read { what, path, source }
}

pub(super) fn content_error(what: &'static str, path: &Path, reason: String) -> TlsConfigError {
    let path = path.to_owned();
    TlsConfigError::Content { what, path, reason }
}

/// Parses all objects of a type in a PEM file; an error if there is none.
fn parse_pem<T: PemObject>(
    what: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<T>, TlsConfigError> {
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(text).collect();
    let found = found.map_err(|error| content_error(what, path, pem_error_text(&error)))?;
    if found.is_empty() {
        return Err(content_error(
            what,
            path,
            pem_error_text(&pem::Error::NoItemsFound),
        ));
    }
    Ok(found)
}

fn pem_error_text(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "the file contains none in PEM format".to_owned(),
        other => format!("the file is not valid PEM: {other}"),
    }
}
