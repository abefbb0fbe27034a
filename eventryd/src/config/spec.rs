//! Table of all settings, with type, default, meaning and effect of a change.
//!
//! Parsing, checks, `--print-config`, the sample files and `docs/configuration.md` use this table.

use super::text::SettingValue;

/// Type of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingType {
    /// 0 or 1.
    Bool,
    /// Number from `min` to `max`.
    Unsigned {
        /// Minimum.
        min: u32,
        /// Maximum.
        max: u32,
    },
    /// Number that may be negative (`i32`).
    Signed,
    /// String.
    Text,
    /// Absolute path, as a string.
    Path,
    /// Mode of a file in octal digits, as a string.
    Mode,
    /// One of several strings.
    OneOf(&'static [&'static str]),
    /// List of strings.
    List,
}

/// Effect of a changed setting when the configuration is read again (SIGHUP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadEffect {
    /// The change applies immediately.
    Immediate,
    /// The change applies to new connections.
    NewConnections,
    /// The change applies after a restart.
    Restart,
    /// The setting is checked but ignored, for this reason. A warning is logged at start and on
    /// SIGHUP.
    Ignored(&'static str),
}

/// Default of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// Number.
    Integer(i64),
    /// String.
    Text(&'static str),
    /// No fixed value. The text describes the behaviour.
    Unset(&'static str),
}

/// Definition of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingSpec {
    /// Name in a configuration file.
    pub name: &'static str,
    /// Type.
    pub value_type: SettingType,
    /// Default.
    pub default: DefaultValue,
    /// Meaning, for the documentation and the sample files.
    pub description: &'static str,
    /// Value in the sample files, or empty to show the default.
    pub example: &'static str,
    /// Effect of a change.
    pub reload_effect: ReloadEffect,
}

impl SettingSpec {
    /// Returns the default value, or `None` for [`DefaultValue::Unset`].
    #[must_use]
    pub fn default_value(&self) -> Option<SettingValue> {
        match self.default {
            DefaultValue::Integer(number) => Some(SettingValue::Integer(number)),
            DefaultValue::Text(text) => Some(SettingValue::Text(text.to_owned())),
            DefaultValue::Unset(_) => None,
        }
    }
}

/// Returns the definition of the setting `name`.
#[must_use]
pub fn setting_spec(name: &str) -> Option<&'static SettingSpec> {
    setting_specs().find(|spec| spec.name == name)
}

/// Returns all settings in the order of the table.
pub fn setting_specs() -> impl Iterator<Item = &'static SettingSpec> {
    SETTING_GROUPS.iter().flat_map(|group| group.specs)
}

/// Returns the setting with the name closest to `name`, or `None` if none is similar. Upper and
/// lower case are the same.
#[must_use]
pub fn nearest_spec(name: &str) -> Option<&'static SettingSpec> {
    let name = name.to_ascii_lowercase();
    let by_distance = setting_specs().map(|spec| (distance(spec.name, &name), spec));
    let (distance, spec) = by_distance.min_by_key(|(distance, _)| *distance)?;
    let tolerated = (spec.name.len() / 3).max(2);
    (distance <= tolerated).then_some(spec)
}

/// Returns the number of characters to insert, remove or replace to turn one name into the other.
///
/// Only the first 64 characters of `theirs` count, because the time is proportional to the product
/// of the lengths.
fn distance(ours: &str, theirs: &str) -> usize {
    // Longer than any name in the table.
    const LONGEST: usize = 64;
    let end = theirs.char_indices().nth(LONGEST);
    let start = end.map_or(theirs, |(end, _)| &theirs[..end]);
    strsim::levenshtein(ours, start)
}

/// Group of related settings.
#[derive(Clone, Copy, Debug)]
pub struct SettingGroup {
    /// Title of the group.
    pub title: &'static str,
    /// Settings of the group.
    pub specs: &'static [SettingSpec],
}

const ANY: SettingType = SettingType::Unsigned {
    min: 0,
    max: u32::MAX,
};
const POSITIVE: SettingType = SettingType::Unsigned {
    min: 1,
    max: u32::MAX,
};
const AUTH: &[&str] = &["none", "sasl", "polkit"];

const OBSOLETE: ReloadEffect = ReloadEffect::Ignored("it is obsolete in libvirt too");
const NO_ADMIN: ReloadEffect = ReloadEffect::Ignored("there is no admin socket");
const NO_AUDIT: ReloadEffect = ReloadEffect::Ignored("auditing is not implemented");

const fn spec(
    name: &'static str,
    value_type: SettingType,
    default: DefaultValue,
    reload_effect: ReloadEffect,
    description: &'static str,
) -> SettingSpec {
    SettingSpec {
        name,
        value_type,
        default,
        description,
        example: "",
        reload_effect,
    }
}

impl SettingSpec {
    const fn with_example(self, example: &'static str) -> SettingSpec {
        SettingSpec { example, ..self }
    }
}

/// All settings: those of `libvirtd.conf`, and eventryd's own, whose names start with `eventry_`, except for
/// `tls_no_verify_key_mode`, `tls_strict_purpose` and `tls_require_current_crl`.
pub const SETTING_GROUPS: &[SettingGroup] = {
    use DefaultValue::{Integer, Unset};
    use ReloadEffect::{Immediate, NewConnections, Restart};
    use SettingType::{Bool, List, Mode, OneOf, Path, Signed, Text};
    &[
        SettingGroup {
            title: "Network sockets",
            specs: &[
                spec("listen_tls", Bool, Integer(0), Restart, "enables the TLS socket"),
                spec("listen_tcp", Bool, Integer(0), Restart, "enables the TCP socket without encryption"),
                spec("tls_port", Text, DefaultValue::Text("16514"), Restart, "port of the TLS socket, a number or a service name"),
                spec("tcp_port", Text, DefaultValue::Text("16509"), Restart, "port of the TCP socket, a number or a service name"),
                spec("listen_addr", Text, Unset("all addresses"), Restart, "address or host name that both sockets are bound to").with_example("\"192.0.2.1\""),
                spec("mdns_adv", Bool, Integer(0), OBSOLETE, "announcement of the sockets by mDNS"),
                spec("mdns_name", Text, Unset("none"), OBSOLETE, "name announced by mDNS").with_example("\"Virtualization Host\""),
            ],
        },
        SettingGroup {
            title: "Unix sockets",
            specs: &[
                spec("unix_sock_group", Text, Unset("the group of the process"), Restart, "group of the Unix sockets, a name or a number").with_example("\"libvirt\""),
                spec("unix_sock_ro_perms", Mode, DefaultValue::Text("0777"), Restart, "mode of the read-only socket"),
                spec("unix_sock_rw_perms", Mode, Unset("0700, with polkit 0777"), Restart, "mode of the read-write socket").with_example("\"0770\""),
                spec("unix_sock_admin_perms", Mode, DefaultValue::Text("0700"), NO_ADMIN, "mode of the admin socket"),
                spec("unix_sock_dir", Path, Unset("/run/eventry for root, else $XDG_RUNTIME_DIR/eventry or, without that variable, eventry-UID in the temporary directory"), Restart, "directory of the Unix sockets; option --run-dir").with_example("\"/run/libvirt\""),
                spec("eventry_prefix", Text, DefaultValue::Text("eventry"), Restart, "prefix of the names of the Unix sockets; with `libvirt` clients find them as libvirtd's; option --prefix"),
            ],
        },
        SettingGroup {
            title: "Authentication and access",
            specs: &[
                spec("auth_unix_ro", OneOf(AUTH), DefaultValue::Text("none"), Restart, "authentication on the read-only socket"),
                spec("auth_unix_rw", OneOf(AUTH), DefaultValue::Text("none"), Restart, "authentication on the read-write socket"),
                spec("auth_tcp", OneOf(AUTH), DefaultValue::Text("sasl"), Restart, "authentication on the TCP socket"),
                spec("auth_tls", OneOf(AUTH), DefaultValue::Text("none"), Restart, "authentication on the TLS socket, in addition to the client certificate"),
                spec("tcp_min_ssf", SettingType::Unsigned { min: 112, max: u32::MAX }, Unset("none"), ReloadEffect::Ignored("SASL on plain TCP is not supported"), "minimum key length in bits of SASL encryption on the TCP socket").with_example("112"),
                spec("access_drivers", List, Unset("none"), ReloadEffect::Ignored("access is not checked per call: a client may make every call that its socket allows"), "drivers of access control per call").with_example("[ \"polkit\" ]"),
                spec("sasl_allowed_username_list", List, Unset("every user"), NewConnections, "patterns of the user names that SASL accepts; an empty list accepts none").with_example("[ \"joe\", \"*@EXAMPLE.COM\" ]"),
                spec("eventry_sasl_password_file", Path, Unset("`passwords` in the directory of the default configuration file"), NewConnections, "file with the users and password hashes of SASL, written by `eventryd passwd`").with_example("\"/etc/eventry/passwords\""),
                spec("eventry_auth_timeout", ANY, Integer(60), NewConnections, "seconds until a client that has not authenticated is closed; 0: never"),
                spec("eventry_handshake_timeout", ANY, Integer(10), NewConnections, "limit in seconds for the TLS handshake; 0: no separate limit. `eventry_auth_timeout` also includes the handshake"),
            ],
        },
        SettingGroup {
            title: "TLS",
            specs: &[
                spec("key_file", Path, Unset("/etc/pki/libvirt/private/serverkey.pem"), NewConnections, "private key of the server").with_example("\"/etc/pki/libvirt/private/serverkey.pem\""),
                spec("cert_file", Path, Unset("/etc/pki/libvirt/servercert.pem"), NewConnections, "certificate of the server").with_example("\"/etc/pki/libvirt/servercert.pem\""),
                spec("ca_file", Path, Unset("/etc/pki/CA/cacert.pem"), NewConnections, "certificate of the authority (CA) that signs certificates of clients").with_example("\"/etc/pki/CA/cacert.pem\""),
                spec("crl_file", Path, Unset("/etc/pki/CA/cacrl.pem, if there is one"), NewConnections, "list of revoked certificates (CRL)").with_example("\"/etc/pki/CA/cacrl.pem\""),
                spec("key_files", List, Unset("none"), NewConnections, "private keys for `cert_files`, in the same order; replaces `key_file`").with_example("[ \"/etc/pki/libvirt/private/serverkey.pem\" ]"),
                spec("cert_files", List, Unset("none"), NewConnections, "several certificates of the server; replaces `cert_file`; a client gets the first one whose signature algorithm it supports").with_example("[ \"/etc/pki/libvirt/servercert.pem\" ]"),
                spec("tls_no_sanity_certificate", Bool, Integer(0), NewConnections, "skips the checks of the server's own certificates"),
                spec("tls_no_verify_certificate", Bool, Integer(0), NewConnections, "skips the check of client certificates"),
                spec("tls_no_verify_key_mode", Bool, Integer(0), NewConnections, "serves with a private key that all users can read or replace, instead of refusing it"),
                spec("tls_strict_purpose", Bool, Integer(0), NewConnections, "rejects client certificates whose extended key usage is serverAuth without clientAuth, instead of logging a warning"),
                spec("tls_require_current_crl", Bool, Integer(0), NewConnections, "requires a revocation list of each CA in `ca_file`, and rejects the clients of a CA whose list has expired; 0: an expired list applies, and a missing one revokes nothing"),
                spec("tls_no_verify_address", Bool, Integer(0), OBSOLETE, "skips a check of the client's address"),
                spec("tls_allowed_dn_list", List, Unset("every client with a valid certificate"), NewConnections, "patterns of the distinguished names in client certificates; an empty list accepts none").with_example("[ \"C=GB,ST=London,L=London,O=Red Hat,CN=*\" ]"),
                spec("tls_priority", Text, Unset("the default of rustls"), NewConnections, "versions of TLS, as a GnuTLS priority string, of which a subset is supported").with_example("\"NORMAL\""),
            ],
        },
        SettingGroup {
            title: "Limits",
            specs: &[
                spec("max_clients", POSITIVE, Integer(5000), Immediate, "connections at the same time; with 8 or more, 1/32 of them (at least one) is reserved for users with few connections, and with TCP or TLS another 1/32 for addresses with few connections (docs/admission.md)"),
                spec("max_queued_clients", ANY, Integer(1000), Restart, "backlog of each listening socket, and accepted connections that may wait for a free slot; 0 means 30"),
                spec("max_anonymous_clients", ANY, Integer(20), Immediate, "connections that have not authenticated, separately for local and network sockets; those that make no progress are evicted if others wait; 0: no limit"),
                spec("max_client_requests", POSITIVE, Integer(5), NewConnections, "calls in progress per connection"),
                spec("max_requests", ANY, Integer(20), OBSOLETE, "calls in progress"),
                spec("min_workers", ANY, Integer(5), Immediate, "worker threads that are started at once"),
                spec("max_workers", POSITIVE, Integer(20), Immediate, "maximum of worker threads"),
                spec("prio_workers", ANY, Integer(5), Immediate, "worker threads for high-priority calls only"),
                spec("eventry_max_tx_bytes", POSITIVE, Integer(16 << 20), NewConnections, "bytes queued for a client that does not read; beyond that it is closed"),
                spec("eventry_shutdown_grace", ANY, Integer(5), Immediate, "seconds that a shutdown waits for clients to read their replies"),
                spec("eventry_idle_timeout", SettingType::Unsigned { min: 0, max: MAX_IDLE_TIMEOUT_SECS }, Integer(0), Immediate, "seconds without a client until the daemon exits; 0: never; option --timeout"),
            ],
        },
        SettingGroup {
            title: "Keepalive",
            specs: &[
                spec("keepalive_interval", Signed, Integer(5), NewConnections, "seconds without data from a client until a keepalive message is sent; 0 or less: never"),
                spec("keepalive_count", ANY, Integer(5), NewConnections, "unanswered keepalive messages until the client is closed"),
                spec("keepalive_required", Bool, Integer(0), OBSOLETE, "rejects clients without keepalive"),
            ],
        },
        SettingGroup {
            title: "Log",
            specs: &[
                spec("log_level", SettingType::Unsigned { min: 0, max: 4 }, Integer(0), Immediate, "lowest level that is logged: 1 debug, 2 info, 3 warning, 4 error; 0: info; options --verbose and --quiet"),
                spec("log_filters", Text, Unset("none"), Immediate, "levels of modules: `LEVEL:MODULE`, separated by spaces").with_example("\"1:server 3:session\""),
                spec("log_outputs", Text, Unset("standard error; with --daemon the journal or a file"), Immediate, "destinations of the log: `LEVEL:stderr`, `LEVEL:file:PATH`, `LEVEL:journald`, `LEVEL:syslog:NAME`, separated by spaces").with_example("\"2:file:/var/log/eventry/eventryd.log\""),
                spec("log_buffer_size", ANY, Integer(64), OBSOLETE, "size of a memory buffer"),
                spec("eventry_log_burst", ANY, Integer(50), Immediate, "log lines of one kind in ten seconds; further ones are only counted; 0: no limit"),
            ],
        },
        SettingGroup {
            title: "Process",
            specs: &[
                spec("eventry_pid_file", Path, Unset("`eventryd.pid` in the directory of the sockets"), Restart, "file with the process ID, locked while the process runs; option --pid-file").with_example("\"/run/eventryd.pid\""),
                spec("eventry_relay_uri", Text, Unset("none"), ReloadEffect::Ignored("calls are not relayed: the only driver is the in-memory hypervisor"), "URI of a daemon that calls are relayed to").with_example("\"qemu:///system\""),
            ],
        },
        SettingGroup {
            title: "Ignored, for compatibility with libvirtd",
            specs: &[
                spec("admin_min_workers", ANY, Integer(5), NO_ADMIN, "worker threads of the admin socket that are started at once"),
                spec("admin_max_workers", POSITIVE, Integer(20), NO_ADMIN, "maximum of worker threads of the admin socket"),
                spec("admin_max_clients", POSITIVE, Integer(5000), NO_ADMIN, "connections to the admin socket"),
                spec("admin_max_queued_clients", ANY, Integer(20), NO_ADMIN, "backlog of the admin socket"),
                spec("admin_max_client_requests", POSITIVE, Integer(5), NO_ADMIN, "calls in progress per admin connection"),
                spec("admin_keepalive_interval", Signed, Integer(5), NO_ADMIN, "`keepalive_interval` of admin connections"),
                spec("admin_keepalive_count", ANY, Integer(5), NO_ADMIN, "`keepalive_count` of admin connections"),
                spec("admin_keepalive_required", Bool, Integer(0), OBSOLETE, "rejects admin clients without keepalive"),
                spec("audit_level", ANY, Integer(1), NO_AUDIT, "use of the kernel's audit subsystem: 0 off, 1 if available, 2 required").with_example("1"),
                spec("audit_logging", Bool, Integer(0), NO_AUDIT, "writes audit messages to the log too"),
                spec("host_uuid", Text, Unset("none"), ReloadEffect::Ignored("the in-memory hypervisor has no host UUID"), "UUID of the host").with_example("\"8b6d0a4e-0d1b-4a3f-9f3c-3a1f7a0c9d11\""),
                spec("host_uuid_source", OneOf(&["smbios", "machine-id"]), DefaultValue::Text("smbios"), ReloadEffect::Ignored("the in-memory hypervisor has no host UUID"), "source of the host UUID"),
                spec("ovs_timeout", ANY, Integer(5), ReloadEffect::Ignored("Open vSwitch is not used"), "timeout of Open vSwitch calls in seconds"),
            ],
        },
    ]
};

/// Maximum of `eventry_idle_timeout` in seconds: libvirt stores milliseconds in an `int` (DM-107).
pub const MAX_IDLE_TIMEOUT_SECS: u32 = i32::MAX as u32 / 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Settings of libvirtd and virtproxyd, obsolete ones included.
    const OF_LIBVIRT: &str = "listen_tls listen_tcp tls_port tcp_port listen_addr unix_sock_group unix_sock_ro_perms \
        unix_sock_rw_perms unix_sock_admin_perms unix_sock_dir auth_unix_ro auth_unix_rw auth_tcp auth_tls access_drivers \
        key_file cert_file ca_file crl_file key_files cert_files tls_no_sanity_certificate tls_no_verify_certificate \
        tls_allowed_dn_list tls_priority tcp_min_ssf sasl_allowed_username_list max_clients max_queued_clients \
        max_anonymous_clients min_workers max_workers prio_workers max_client_requests admin_min_workers \
        admin_max_workers admin_max_clients admin_max_queued_clients admin_max_client_requests keepalive_interval \
        keepalive_count admin_keepalive_interval admin_keepalive_count log_level log_filters log_outputs audit_level \
        audit_logging host_uuid host_uuid_source ovs_timeout keepalive_required admin_keepalive_required max_requests \
        mdns_adv mdns_name log_buffer_size tls_no_verify_address";

    /// Settings of eventryd that are named like those of libvirt beside them.
    const OWN: [&str; 3] = [
        "tls_no_verify_key_mode",
        "tls_strict_purpose",
        "tls_require_current_crl",
    ];

    #[test]
    fn table_has_every_libvirt_setting_once() {
        let names: Vec<&str> = setting_specs().map(|spec| spec.name).collect();
        let once: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len(), "a setting is listed twice");
        let ours: BTreeSet<&str> = once
            .iter()
            .copied()
            .filter(|name| name.starts_with("eventry_") || OWN.contains(name))
            .collect();
        let theirs: BTreeSet<&str> = OF_LIBVIRT.split_whitespace().collect();
        assert_eq!(
            once.difference(&ours).copied().collect::<BTreeSet<_>>(),
            theirs
        );
    }

    #[test]
    fn nearest_spec_needs_a_small_distance() {
        let nearest = |name| nearest_spec(name).map(|spec| spec.name);
        assert_eq!(nearest("max_client"), Some("max_clients"));
        assert_eq!(nearest("maxclients"), Some("max_clients"));
        assert_eq!(nearest("unix_socket_dir"), Some("unix_sock_dir"));
        assert_eq!(nearest("LISTEN_TCP"), Some("listen_tcp"));
        assert_eq!(nearest("listen_ctp"), Some("listen_tcp"));
        assert_eq!(nearest("zzz"), None);
        assert_eq!(nearest(&"x".repeat(1_000_000)), None);
    }

    #[test]
    fn distance_counts_the_first_64_characters_only() {
        assert_eq!(distance("kitten", "sitting"), 3);
        let ours = "é".repeat(64);
        assert_eq!(distance(&ours, &"é".repeat(63)), 1);
        assert_eq!(distance(&ours, &"é".repeat(1_000)), 0);
    }
}
