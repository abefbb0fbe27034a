//! Conversion of settings to the configuration of the server.

use super::{Origin, Settings};
use crate::net::RunDir;
use crate::net::tls::{ServerFiles, TlsFiles, TlsSettings, TlsVersions};
use crate::server::{Config, TcpService, TlsService, WorkerLimits};
use crate::session::Auth;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Setting that has the right type but cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    /// Name of the setting.
    pub setting: &'static str,
    /// Error message.
    pub message: String,
}

/// Backlog of a listening socket if `max_queued_clients` is 0, as in libvirt (DM-205).
const DEFAULT_BACKLOG: u32 = 30;

/// Applies the settings to `config`. `tls_files` are the default keys and certificates.
///
/// # Errors
///
/// Every setting that cannot be applied.
pub fn configure(
    settings: &Settings,
    mut config: Config,
    tls_files: &TlsFiles,
) -> Result<Config, Vec<InvalidSetting>> {
    let mut invalid = Vec::new();
    unix_sockets(settings, &mut config, &mut invalid);
    network_sockets(settings, &mut config, &mut invalid);
    tls(settings, &mut config, tls_files.clone(), &mut invalid);
    sasl(settings, &mut config, &mut invalid);
    keepalive(settings, &mut config);
    process(settings, &mut config, &mut invalid);
    limits(settings, &mut config, &mut invalid);
    if invalid.is_empty() {
        Ok(config)
    } else {
        Err(invalid)
    }
}

/// Records an error that the values of `names` cause, at the first of them that is set. Records none if a value of one of
/// them was rejected, because the error may be a consequence.
fn reject(
    invalid: &mut Vec<InvalidSetting>,
    settings: &Settings,
    names: &[&'static str],
    message: impl Into<String>,
) {
    if names.iter().any(|name| settings.is_rejected(name)) {
        return;
    }
    let explicit = names.iter().find(|name| settings.is_explicit(name));
    let setting = explicit.unwrap_or(&names[0]);
    let message = message.into();
    invalid.push(InvalidSetting { setting, message });
}

fn unix_sockets(settings: &Settings, config: &mut Config, invalid: &mut Vec<InvalidSetting>) {
    match settings.path("unix_sock_dir") {
        Some(dir) if dir.as_os_str().is_empty() => reject(
            invalid,
            settings,
            &["unix_sock_dir"],
            "`unix_sock_dir` is empty, which is the root directory for libvirtd; write \"/\" for that, or remove the line",
        ),
        Some(dir) => config.run_dir = RunDir::Chosen(dir),
        None => {}
    }
    match settings.text("eventry_prefix") {
        Some(prefix) if !prefix.is_empty() && !prefix.contains('/') => config.prefix = prefix,
        _ => reject(
            invalid,
            settings,
            &["eventry_prefix"],
            "`eventry_prefix` must be part of a file name: not empty and without a slash",
        ),
    }
    config.socket_group = settings.text("unix_sock_group");
    let auth = settings.text("auth_unix_rw");
    let default_mode = if auth.as_deref() == Some("polkit") {
        0o777
    } else {
        0o700
    };
    config.rw_mode = settings.mode("unix_sock_rw_perms").unwrap_or(default_mode);
    if let Some(mode) = settings.mode("unix_sock_ro_perms") {
        config.ro_mode = mode;
    }
    config.auth_unix_rw = auth_method(settings, "auth_unix_rw");
    config.auth_unix_ro = auth_method(settings, "auth_unix_ro");
}

/// Returns an authentication scheme. The value is one of three, as the table requires.
fn auth_method(settings: &Settings, key: &str) -> Auth {
    match settings.text(key).as_deref() {
        Some("sasl") => Auth::Sasl,
        Some("polkit") => Auth::Polkit,
        _ => Auth::None,
    }
}

fn sasl(settings: &Settings, config: &mut Config, invalid: &mut Vec<InvalidSetting>) {
    let file = settings.path("eventry_sasl_password_file");
    match file.map(|file| used_path(file, "eventry_sasl_password_file")) {
        Some(Ok(file)) => config.sasl.password_file = file,
        Some(Err(empty)) if uses_sasl(settings) => invalid.push(empty),
        _ => {}
    }
    config.sasl.allowed_users = settings.list("sasl_allowed_username_list");
}

fn uses_sasl(settings: &Settings) -> bool {
    // SASL on plain TCP is an error.
    ["auth_unix_rw", "auth_unix_ro", "auth_tls"]
        .iter()
        .any(|name| auth_method(settings, name) == Auth::Sasl)
}

/// Rejects the empty path, which is valid where it is not used.
fn used_path(path: PathBuf, setting: &'static str) -> Result<PathBuf, InvalidSetting> {
    if path.as_os_str().is_empty() {
        let message = format!("`{setting}` is empty; set an absolute path, or remove the line");
        return Err(InvalidSetting { setting, message });
    }
    Ok(path)
}

fn network_sockets(settings: &Settings, config: &mut Config, invalid: &mut Vec<InvalidSetting>) {
    let is_unauthenticated = settings.text("auth_tcp").as_deref() == Some("none");
    let service = TcpService {
        address: settings.text("listen_addr"),
        port: settings
            .text("tcp_port")
            .expect("the setting has a default"),
        auth: Auth::None,
    };
    if !settings.is_enabled("listen_tcp") {
        config.passed_tcp = is_unauthenticated.then_some(service);
        return;
    }
    if !is_unauthenticated {
        let why = if settings.is_explicit("auth_tcp") {
            "`auth_tcp` can only be \"none\", for trusted networks: SASL without TLS needs a mechanism that \
             encrypts (GSSAPI, DIGEST-MD5), which eventryd does not have, and polkit covers local users only; use \
             TLS for clients that must authenticate"
        } else {
            "`auth_tcp` can only be \"none\", and is \"sasl\" by default, as in libvirt: add the line \
             `auth_tcp = \"none\"` if the network is trusted, or use TLS for clients that must authenticate"
        };
        reject(invalid, settings, &["auth_tcp", "listen_tcp"], why);
    }
    config.tcp = Some(service);
}

/// Sets up TLS for `listen_tls`, or for a socket that systemd passes. Invalid settings are errors
/// only if `listen_tls` is set.
fn tls(
    settings: &Settings,
    config: &mut Config,
    files: TlsFiles,
    invalid: &mut Vec<InvalidSetting>,
) {
    let mut found = Vec::new();
    let service = tls_service(settings, files, &mut found);
    if settings.is_enabled("listen_tls") {
        config.tls = Some(service);
        invalid.extend(found);
    } else if found.is_empty() {
        config.passed_tls = Some(service);
    }
}

fn tls_service(
    settings: &Settings,
    files: TlsFiles,
    invalid: &mut Vec<InvalidSetting>,
) -> TlsService {
    let auth = auth_method(settings, "auth_tls");
    if auth == Auth::Polkit {
        let why = "`auth_tls` cannot be \"polkit\", which covers local users only; use \"none\", where client \
                   certificates decide, or \"sasl\"";
        reject(invalid, settings, &["auth_tls"], why);
    }
    let files = tls_files_for(settings, files, invalid);
    let priority = settings.text("tls_priority");
    if let Some(Err(unknown)) = priority.as_deref().map(TlsVersions::from_priority) {
        reject(invalid, settings, &["tls_priority"], unknown.to_string());
    }
    TlsService {
        address: settings.text("listen_addr"),
        port: settings
            .text("tls_port")
            .expect("the setting has a default"),
        auth,
        settings: TlsSettings {
            files,
            allowed_dn: settings.list("tls_allowed_dn_list"),
            verify_clients: !settings.is_enabled("tls_no_verify_certificate"),
            sanity_checks: !settings.is_enabled("tls_no_sanity_certificate"),
            verify_key_mode: !settings.is_enabled("tls_no_verify_key_mode"),
            strict_purpose: settings.is_enabled("tls_strict_purpose"),
            crl_origin: settings.origin("crl_file").map(Origin::to_string),
            require_current_crl: settings.is_enabled("tls_require_current_crl"),
            priority,
        },
    }
}

/// Returns the keys and certificates that the settings name, or the defaults (DM-1201). The lists
/// replace the single files.
fn tls_files_for(
    settings: &Settings,
    mut files: TlsFiles,
    invalid: &mut Vec<InvalidSetting>,
) -> TlsFiles {
    for name in ["ca_file", "cert_file", "key_file"] {
        if settings
            .path(name)
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            let why = "libvirtd starts without the keys and certificates then, and no client can connect by TLS; \
                       set all three files, remove the three lines, or set `listen_tls = 0`";
            reject(
                invalid,
                settings,
                &[name],
                format!("`{name}` is empty: {why}"),
            );
            return files;
        }
    }
    let ca = settings.path("ca_file");
    let single = ["cert_file", "key_file"].map(|key| settings.path(key));
    let several = ["cert_files", "key_files"].map(|key| settings.list(key));
    match (single, several) {
        ([None, None], [None, None]) if ca.is_none() => {}
        ([Some(certificate), Some(key)], [None, None]) if ca.is_some() => {
            files.server = vec![ServerFiles { certificate, key }];
        }
        ([None, None], [Some(certificates), Some(keys)]) => match pair_files(certificates, keys) {
            Ok(server) => files.server = server,
            Err(why) => reject(invalid, settings, &["key_files"], why),
        },
        (_, [None, None]) => reject(
            invalid,
            settings,
            &["key_file", "cert_file", "ca_file"],
            "`ca_file`, `cert_file` and `key_file` must be set together: set all three or none",
        ),
        ([None, None], _) => reject(
            invalid,
            settings,
            &["key_files", "cert_files"],
            "`cert_files` and `key_files` must be set together: set both or none",
        ),
        _ => reject(
            invalid,
            settings,
            &["key_files", "cert_files"],
            "`cert_files` and `key_files` replace `cert_file` and `key_file`: set only one of the two pairs",
        ),
    }
    files.ca = ca.unwrap_or(files.ca);
    // An empty path means no list, as in libvirtd, not even the default one.
    files.crl = match settings.path("crl_file") {
        Some(path) if path.as_os_str().is_empty() => None,
        path => path.or(files.crl),
    };
    files
}

/// Pairs each certificate with the key at the same index.
fn pair_files(certificates: Vec<String>, keys: Vec<String>) -> Result<Vec<ServerFiles>, String> {
    if certificates.is_empty() || certificates.len() != keys.len() {
        return Err(format!(
            "`cert_files` and `key_files` must have the same number of files, at least one; they have {} and {}",
            certificates.len(),
            keys.len()
        ));
    }
    if let Some(path) = certificates
        .iter()
        .chain(&keys)
        .find(|path| !path.starts_with('/'))
    {
        return Err(format!(
            "`cert_files` and `key_files` must be absolute paths, not {path:?}"
        ));
    }
    let pair = |(certificate, key): (String, String)| ServerFiles {
        certificate: certificate.into(),
        key: key.into(),
    };
    Ok(certificates.into_iter().zip(keys).map(pair).collect())
}

fn limits(settings: &Settings, config: &mut Config, invalid: &mut Vec<InvalidSetting>) {
    let max_clients = settings.unsigned("max_clients");
    config.max_clients = positive(max_clients);
    let anonymous = settings.unsigned("max_anonymous_clients");
    // Only an explicit value is an error: the default is lowered to `max_clients`.
    if settings.is_explicit("max_anonymous_clients") && anonymous > max_clients {
        reject(
            invalid,
            settings,
            &["max_anonymous_clients", "max_clients"],
            format!(
                "`max_anonymous_clients` ({anonymous}) must not exceed `max_clients` ({max_clients})"
            ),
        );
    }
    config.max_anonymous_clients = anonymous.min(max_clients) as usize;
    config.auth_timeout = seconds(settings.unsigned("eventry_auth_timeout"));
    config.client_limits.handshake_timeout =
        seconds(settings.unsigned("eventry_handshake_timeout"));
    config.max_queued_clients = match settings.unsigned("max_queued_clients") {
        0 => DEFAULT_BACKLOG,
        backlog => backlog,
    };
    config.client_limits.max_client_requests = positive(settings.unsigned("max_client_requests"));
    config.client_limits.max_tx_bytes = positive(settings.unsigned("eventry_max_tx_bytes"));
    config.workers = WorkerLimits {
        min: settings.unsigned("min_workers") as usize,
        max: positive(settings.unsigned("max_workers")),
        priority: settings.unsigned("prio_workers") as usize,
    };
    config.shutdown_grace = seconds(settings.unsigned("eventry_shutdown_grace"));
}

fn keepalive(settings: &Settings, config: &mut Config) {
    let interval = u64::try_from(settings.integer("keepalive_interval")).unwrap_or_default();
    config.keepalive.interval = (interval > 0).then(|| Duration::from_secs(interval));
    config.keepalive.count = settings.unsigned("keepalive_count");
}

fn process(settings: &Settings, config: &mut Config, invalid: &mut Vec<InvalidSetting>) {
    let idle = settings.unsigned("eventry_idle_timeout");
    config.idle_timeout = (idle > 0).then(|| seconds(idle));
    let pid_file = settings.path("eventry_pid_file");
    match pid_file.map(|file| used_path(file, "eventry_pid_file")) {
        Some(Err(empty)) => invalid.push(empty),
        file => config.pid_file = file.and_then(Result::ok),
    }
}

/// Converts a number that the table requires to be at least 1.
fn positive(number: u32) -> NonZeroUsize {
    NonZeroUsize::new(number as usize).expect("the value was checked when it was read")
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}
