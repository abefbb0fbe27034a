//! What settings mean for the daemon.

use super::Settings;
use crate::net::RunDir;
use crate::net::tls::{ServerFiles, TlsFiles, TlsVersions};
use crate::server::{Config, TcpService, TlsService, WorkerLimits};
use crate::session::Auth;
use std::num::NonZeroUsize;
use std::time::Duration;

/// A setting that cannot be followed, though it is of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The setting.
    pub key: &'static str,
    /// Why, and what to do about it.
    pub message: String,
}

/// The backlog where the setting is 0, as with libvirt (DM-205).
const DEFAULT_BACKLOG: u32 = 30;

/// Puts the settings into a configuration. `tls_files` are the keys and certificates that no setting names.
///
/// # Errors
///
/// The settings that cannot be followed.
pub fn configure(
    settings: &Settings,
    mut config: Config,
    tls_files: &TlsFiles,
) -> Result<Config, Vec<Refusal>> {
    let mut refused = Vec::new();
    unix_sockets(settings, &mut config, &mut refused);
    network_sockets(settings, &mut config, &mut refused);
    tls(settings, &mut config, tls_files.clone(), &mut refused);
    sasl(settings, &mut config);
    keepalive(settings, &mut config);
    process(settings, &mut config);
    limits(settings, &mut config, &mut refused);
    if refused.is_empty() {
        Ok(config)
    } else {
        Err(refused)
    }
}

fn refuse(refused: &mut Vec<Refusal>, key: &'static str, message: impl Into<String>) {
    let message = message.into();
    refused.push(Refusal { key, message });
}

fn unix_sockets(settings: &Settings, config: &mut Config, refused: &mut Vec<Refusal>) {
    if let Some(dir) = settings.path("unix_sock_dir") {
        config.run_dir = RunDir::Chosen(dir);
    }
    match settings.text("eventry_prefix") {
        Some(prefix) if !prefix.is_empty() && !prefix.contains('/') => config.prefix = prefix,
        _ => refuse(
            refused,
            "eventry_prefix",
            "`eventry_prefix` is part of a file name: not empty and without a slash",
        ),
    }
    config.socket_group = settings.text("unix_sock_group");
    let auth = settings.text("auth_unix_rw");
    let by_auth = if auth.as_deref() == Some("polkit") {
        0o777
    } else {
        0o700
    };
    config.rw_mode = settings.mode("unix_sock_rw_perms").unwrap_or(by_auth);
    if let Some(mode) = settings.mode("unix_sock_ro_perms") {
        config.ro_mode = mode;
    }
    config.auth_unix_rw = scheme(settings, "auth_unix_rw");
    config.auth_unix_ro = scheme(settings, "auth_unix_ro");
}

/// A way to authenticate; that it is one of the three was checked when it was read.
fn scheme(settings: &Settings, key: &str) -> Auth {
    match settings.text(key).as_deref() {
        Some("sasl") => Auth::Sasl,
        Some("polkit") => Auth::Polkit,
        _ => Auth::None,
    }
}

fn sasl(settings: &Settings, config: &mut Config) {
    if let Some(file) = settings.path("eventry_sasl_password_file") {
        config.sasl.password_file = file;
    }
    config.sasl.allowed_users = settings.list("sasl_allowed_username_list");
}

fn network_sockets(settings: &Settings, config: &mut Config, refused: &mut Vec<Refusal>) {
    let is_open = settings.text("auth_tcp").as_deref() == Some("none");
    let service = TcpService {
        address: settings.text("listen_addr"),
        port: settings.text("tcp_port").expect("it has a default"),
        auth: Auth::None,
    };
    if !settings.is_set("listen_tcp") {
        config.passed_tcp = is_open.then_some(service);
        return;
    }
    if !is_open {
        let why = "`auth_tcp` can only be \"none\", for networks you trust: what SASL needs on a connection \
                   without encryption (GSSAPI, DIGEST-MD5) is not there, and polkit knows local users only. \
                   Clients that have to prove who they are come by TLS";
        refuse(refused, "auth_tcp", why);
    }
    config.tcp = Some(service);
}

/// What contradicts itself is refused where it matters: not for a socket that nobody has asked for.
fn tls(settings: &Settings, config: &mut Config, files: TlsFiles, refused: &mut Vec<Refusal>) {
    let mut wrong = Vec::new();
    let service = tls_service(settings, files, &mut wrong);
    if settings.is_set("listen_tls") {
        config.tls = Some(service);
        refused.extend(wrong);
    } else if wrong.is_empty() {
        config.passed_tls = Some(service);
    }
}

fn tls_service(settings: &Settings, files: TlsFiles, refused: &mut Vec<Refusal>) -> TlsService {
    let auth = scheme(settings, "auth_tls");
    if auth == Auth::Polkit {
        let why = "`auth_tls` cannot be \"polkit\", which knows local users only; say \"none\", where client \
                   certificates decide, or \"sasl\"";
        refuse(refused, "auth_tls", why);
    }
    let files = named_files(settings, files, refused);
    let priority = settings.text("tls_priority");
    if let Some(Err(unknown)) = priority.as_deref().map(TlsVersions::from_priority) {
        refuse(refused, "tls_priority", unknown.to_string());
    }
    TlsService {
        address: settings.text("listen_addr"),
        port: settings.text("tls_port").expect("it has a default"),
        auth,
        allowed_dn: settings.list("tls_allowed_dn_list"),
        verify_clients: !settings.is_set("tls_no_verify_certificate"),
        sanity_checks: !settings.is_set("tls_no_sanity_certificate"),
        priority,
        ..TlsService::new(files)
    }
}

/// The keys and certificates, as far as settings name them (DM-1201). Lists take the place of the single ones.
fn named_files(settings: &Settings, mut files: TlsFiles, refused: &mut Vec<Refusal>) -> TlsFiles {
    let ca = settings.path("ca_file");
    let single = ["cert_file", "key_file"].map(|key| settings.path(key));
    let several = ["cert_files", "key_files"].map(|key| settings.list(key));
    match (single, several) {
        ([None, None], [None, None]) if ca.is_none() => {}
        ([Some(certificate), Some(key)], [None, None]) if ca.is_some() => {
            files.server = vec![ServerFiles { certificate, key }];
        }
        ([None, None], [Some(certificates), Some(keys)]) => match pairs(certificates, keys) {
            Ok(server) => files.server = server,
            Err(why) => refuse(refused, "key_files", why),
        },
        (_, [None, None]) => refuse(
            refused,
            "key_file",
            "`ca_file`, `cert_file` and `key_file` belong together: give all three, or none",
        ),
        ([None, None], _) => refuse(
            refused,
            "key_files",
            "`cert_files` and `key_files` belong together: give both, or none",
        ),
        _ => refuse(
            refused,
            "key_files",
            "`cert_files` and `key_files` take the place of `cert_file` and `key_file`: give only one of both",
        ),
    }
    files.ca = ca.unwrap_or(files.ca);
    files.crl = settings.path("crl_file").or(files.crl);
    files
}

/// The first certificate has the first key, and so on.
fn pairs(certificates: Vec<String>, keys: Vec<String>) -> Result<Vec<ServerFiles>, String> {
    if certificates.is_empty() || certificates.len() != keys.len() {
        return Err(format!(
            "`cert_files` and `key_files` must have as many files each, and one at least; they have {} and {}",
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
            "`cert_files` and `key_files` must be paths from the root, not {path:?}"
        ));
    }
    let pair = |(certificate, key): (String, String)| ServerFiles {
        certificate: certificate.into(),
        key: key.into(),
    };
    Ok(certificates.into_iter().zip(keys).map(pair).collect())
}

fn limits(settings: &Settings, config: &mut Config, refused: &mut Vec<Refusal>) {
    let max_clients = settings.unsigned("max_clients");
    config.max_clients = positive(max_clients);
    let anonymous = settings.unsigned("max_anonymous_clients");
    // Our own default gives way to a limit that was set.
    if settings.is_given("max_anonymous_clients") && anonymous > max_clients {
        refuse(
            refused,
            "max_anonymous_clients",
            format!(
                "`max_anonymous_clients` ({anonymous}) must not be more than `max_clients` ({max_clients})"
            ),
        );
    }
    config.max_anonymous_clients = anonymous.min(max_clients) as usize;
    config.auth_timeout = seconds(settings.unsigned("eventry_auth_timeout"));
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
    let interval = u64::try_from(settings.number("keepalive_interval")).unwrap_or_default();
    config.keepalive.interval = (interval > 0).then(|| Duration::from_secs(interval));
    config.keepalive.count = settings.unsigned("keepalive_count");
}

fn process(settings: &Settings, config: &mut Config) {
    let idle = settings.unsigned("eventry_idle_timeout");
    config.idle_timeout = (idle > 0).then(|| seconds(idle));
    config.pid_file = settings.path("eventry_pid_file");
}

/// A number that was checked to be at least 1 when it was read.
fn positive(number: u32) -> NonZeroUsize {
    NonZeroUsize::new(number as usize).expect("checked when it was read")
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}
