//! The one table of settings: what there is, of which type, what it means and when it takes effect. Reading,
//! checking, printing, the samples and the documentation are driven by it.

use super::text::Value;

/// The type of a setting (spec §17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 or 1.
    Bool,
    /// A number from `min` to `max`.
    Unsigned {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// A number that may be negative.
    Signed,
    /// A string.
    Text,
    /// A string that is the path of a file or directory, from the root.
    Path,
    /// A string with a file's mode in octal digits.
    Mode,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A list of strings.
    List,
}

/// When a changed setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// On SIGHUP.
    Reload,
    /// On SIGHUP, for connections made from then on.
    NewConnections,
    /// At the next start.
    Restart,
    /// Never: it is read and checked, and named at start, for this reason.
    None(&'static str),
}

/// The value of a setting that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This number.
    Integer(i64),
    /// This string.
    Text(&'static str),
    /// None; what that means, in words.
    Unset(&'static str),
}

/// A setting there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its value when it is not given.
    pub preset: Preset,
    /// What it decides.
    pub meaning: &'static str,
    /// A value to show how it is written, where that is not the default one.
    pub example: &'static str,
    /// When a change takes effect.
    pub effect: Effect,
}

impl Key {
    /// Its value when it is not given, if it has one then.
    #[must_use]
    pub fn preset_value(&self) -> Option<Value> {
        match self.preset {
            Preset::Integer(number) => Some(Value::Integer(number)),
            Preset::Text(text) => Some(Value::Text(text.to_owned())),
            Preset::Unset(_) => None,
        }
    }
}

/// The setting `name`.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    all_keys().find(|key| key.name == name)
}

/// Every setting, in the order of the table.
pub fn all_keys() -> impl Iterator<Item = &'static Key> {
    GROUPS.iter().flat_map(|group| group.keys)
}

/// The setting whose name is most like `name`, if one is like it at all.
#[must_use]
pub fn nearest_key(name: &str) -> Option<&'static Key> {
    let by_distance = all_keys().map(|key| (distance(key.name, name), key));
    let (distance, key) = by_distance.min_by_key(|(distance, _)| *distance)?;
    let tolerated = (key.name.len() / 3).max(2);
    (distance <= tolerated).then_some(key)
}

/// The number of characters to insert, remove or replace to make one name of the other. Only the start of
/// `theirs` counts: the time is proportional to the product of the lengths.
fn distance(ours: &str, theirs: &str) -> usize {
    // Longer than any name in the table.
    const LONGEST: usize = 64;
    let end = theirs.char_indices().nth(LONGEST);
    let start = end.map_or(theirs, |(end, _)| &theirs[..end]);
    strsim::levenshtein(ours, start)
}

/// Settings that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// The settings.
    pub keys: &'static [Key],
}

const ANY: Kind = Kind::Unsigned {
    min: 0,
    max: u32::MAX,
};
const POSITIVE: Kind = Kind::Unsigned {
    min: 1,
    max: u32::MAX,
};
const AUTH: &[&str] = &["none", "sasl", "polkit"];

const OBSOLETE: Effect = Effect::None("it is obsolete, in libvirt too");
const NO_ADMIN: Effect = Effect::None("there is no admin socket");
const NO_AUDIT: Effect = Effect::None("nothing is audited");

const fn key_of(
    name: &'static str,
    kind: Kind,
    preset: Preset,
    effect: Effect,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        kind,
        preset,
        meaning,
        example: "",
        effect,
    }
}

impl Key {
    const fn like(self, example: &'static str) -> Key {
        Key { example, ..self }
    }
}

/// All settings: those of `libvirtd.conf`, and ours, which begin with `eventry_`.
pub const GROUPS: &[Group] = {
    use Effect::{NewConnections, Reload, Restart};
    use Kind::{Bool, List, Mode, OneOf, Path, Signed, Text};
    use Preset::{Integer, Unset};
    &[
        Group {
            title: "Network sockets",
            keys: &[
                key_of("listen_tls", Bool, Integer(0), Restart, "whether there is a TLS socket"),
                key_of("listen_tcp", Bool, Integer(0), Restart, "whether there is a TCP socket without encryption"),
                key_of("tls_port", Text, Preset::Text("16514"), Restart, "port of the TLS socket, a number or the name of a service"),
                key_of("tcp_port", Text, Preset::Text("16509"), Restart, "port of the TCP socket, a number or the name of a service"),
                key_of("listen_addr", Text, Unset("all addresses"), Restart, "address or host name both sockets are bound to").like("\"192.0.2.1\""),
                key_of("mdns_adv", Bool, Integer(0), OBSOLETE, "announcement of the sockets by mDNS"),
                key_of("mdns_name", Text, Unset("none"), OBSOLETE, "name announced by mDNS").like("\"Virtualization Host\""),
            ],
        },
        Group {
            title: "Unix sockets",
            keys: &[
                key_of("unix_sock_group", Text, Unset("the group of the process"), Restart, "group of the Unix sockets, a name or a number").like("\"libvirt\""),
                key_of("unix_sock_ro_perms", Mode, Preset::Text("0777"), Restart, "mode of the read-only socket"),
                key_of("unix_sock_rw_perms", Mode, Unset("0700, with polkit 0777"), Restart, "mode of the read-write socket").like("\"0770\""),
                key_of("unix_sock_admin_perms", Mode, Preset::Text("0700"), NO_ADMIN, "mode of the admin socket"),
                key_of("unix_sock_dir", Path, Unset("/run/eventry for root, else $XDG_RUNTIME_DIR/eventry"), Restart, "directory of the Unix sockets; the option --run-dir").like("\"/run/libvirt\""),
                key_of("eventry_prefix", Text, Preset::Text("eventry"), Restart, "what the names of the Unix sockets begin with; `libvirt` stands in for libvirtd; the option --prefix"),
            ],
        },
        Group {
            title: "Authentication and access",
            keys: &[
                key_of("auth_unix_ro", OneOf(AUTH), Preset::Text("none"), Restart, "how clients of the read-only socket prove who they are"),
                key_of("auth_unix_rw", OneOf(AUTH), Preset::Text("none"), Restart, "how clients of the read-write socket prove who they are"),
                key_of("auth_tcp", OneOf(AUTH), Preset::Text("sasl"), Restart, "how clients of the TCP socket prove who they are"),
                key_of("auth_tls", OneOf(AUTH), Preset::Text("none"), Restart, "how clients of the TLS socket prove who they are, beside their certificate"),
                key_of("tcp_min_ssf", Kind::Unsigned { min: 112, max: u32::MAX }, Integer(56), Effect::None("SASL over plain TCP is refused altogether"), "least encryption by SASL on the TCP socket").like("112"),
                key_of("access_drivers", List, Unset("none"), Effect::None("calls are not checked one by one: who may connect may make every call his socket allows"), "access control per call").like("[ \"polkit\" ]"),
                key_of("sasl_allowed_username_list", List, Unset("everybody"), NewConnections, "patterns of the user names that SASL lets in; an empty list lets nobody in").like("[ \"joe\", \"*@EXAMPLE.COM\" ]"),
                key_of("eventry_sasl_password_file", Path, Unset("passwords, beside the configuration file that is looked for"), NewConnections, "the users that SASL knows, as `eventryd passwd` writes them").like("\"/etc/eventry/passwords\""),
                key_of("eventry_auth_timeout", ANY, Integer(60), NewConnections, "seconds after which a client that has not proved who it is is closed; 0: never"),
            ],
        },
        Group {
            title: "TLS",
            keys: &[
                key_of("key_file", Path, Unset("/etc/pki/libvirt/private/serverkey.pem"), NewConnections, "key of the server").like("\"/etc/pki/libvirt/private/serverkey.pem\""),
                key_of("cert_file", Path, Unset("/etc/pki/libvirt/servercert.pem"), NewConnections, "certificate of the server").like("\"/etc/pki/libvirt/servercert.pem\""),
                key_of("ca_file", Path, Unset("/etc/pki/CA/cacert.pem"), NewConnections, "certificate of the authority that signs").like("\"/etc/pki/CA/cacert.pem\""),
                key_of("crl_file", Path, Unset("/etc/pki/CA/cacrl.pem, if there is one"), NewConnections, "revoked certificates").like("\"/etc/pki/CA/cacrl.pem\""),
                key_of("key_files", List, Unset("none"), NewConnections, "keys of several certificates, in the same order, in place of key_file").like("[ \"/etc/pki/libvirt/private/serverkey.pem\" ]"),
                key_of("cert_files", List, Unset("none"), NewConnections, "several certificates, in place of cert_file: a client is shown the first whose signature it can check").like("[ \"/etc/pki/libvirt/servercert.pem\" ]"),
                key_of("tls_no_sanity_certificate", Bool, Integer(0), NewConnections, "leaves out the checks of the server's own certificates"),
                key_of("tls_no_verify_certificate", Bool, Integer(0), NewConnections, "serves clients whatever certificate they show"),
                key_of("tls_no_verify_address", Bool, Integer(0), OBSOLETE, "leaves out a check of the client's address"),
                key_of("tls_allowed_dn_list", List, Unset("everybody with a certificate"), NewConnections, "patterns of the names in client certificates; an empty list lets nobody in").like("[ \"C=GB,ST=London,L=London,O=Red Hat,CN=*\" ]"),
                key_of("tls_priority", Text, Unset("what rustls offers"), NewConnections, "versions of TLS, as a subset of GnuTLS's priority strings").like("\"NORMAL\""),
            ],
        },
        Group {
            title: "Limits",
            keys: &[
                key_of("max_clients", POSITIVE, Integer(5000), Reload, "connections served at the same time, and a few more of peers that have few (docs/admission.md)"),
                key_of("max_queued_clients", ANY, Integer(1000), Restart, "connections that may wait to be accepted, per socket, and for a place among the clients; 0: 30"),
                key_of("max_anonymous_clients", ANY, Integer(20), Reload, "connections that have not proved who they are yet, of local sockets and of those on networks each; who gets nowhere gives way to others; 0: no limit"),
                key_of("max_client_requests", POSITIVE, Integer(5), NewConnections, "calls of one connection in progress"),
                key_of("max_requests", ANY, Integer(20), OBSOLETE, "calls in progress"),
                key_of("min_workers", ANY, Integer(5), Reload, "worker threads from the start"),
                key_of("max_workers", POSITIVE, Integer(20), Reload, "worker threads at the most"),
                key_of("prio_workers", ANY, Integer(5), Reload, "worker threads for calls of high priority only"),
                key_of("eventry_max_tx_bytes", POSITIVE, Integer(16 << 20), NewConnections, "bytes that may wait for a client that does not read; then it is closed"),
                key_of("eventry_shutdown_grace", ANY, Integer(5), Reload, "seconds an orderly stop waits for clients that have not read their answers"),
                key_of("eventry_idle_timeout", Kind::Unsigned { min: 0, max: MAX_TIMEOUT }, Integer(0), Reload, "seconds without a client after which the daemon ends; 0: never; the option --timeout"),
            ],
        },
        Group {
            title: "Keepalive",
            keys: &[
                key_of("keepalive_interval", Signed, Integer(5), NewConnections, "seconds of silence before a client is asked whether it is there; 0 or less: never"),
                key_of("keepalive_count", ANY, Integer(5), NewConnections, "questions without an answer before it is closed"),
                key_of("keepalive_required", Bool, Integer(0), OBSOLETE, "whether clients must know keepalive"),
            ],
        },
        Group {
            title: "Log",
            keys: &[
                key_of("log_level", Kind::Unsigned { min: 0, max: 4 }, Integer(0), Reload, "least level that is logged: 1 debug, 2 info, 3 warning, 4 error; 0: info; the option --verbose"),
                key_of("log_filters", Text, Unset("none"), Reload, "levels of parts of the daemon: `LEVEL:PART`, separated by spaces").like("\"1:server 3:session\""),
                key_of("log_outputs", Text, Unset("standard error; after --daemon the journal, or a file"), Reload, "where the log goes: `LEVEL:stderr`, `LEVEL:file:PATH`, `LEVEL:journald`, `LEVEL:syslog:NAME`, separated by spaces").like("\"2:file:/var/log/eventry/eventryd.log\""),
                key_of("log_buffer_size", ANY, Integer(64), OBSOLETE, "size of a buffer in memory"),
                key_of("eventry_log_burst", ANY, Integer(50), Reload, "lines of one kind in ten seconds; those beyond are counted; 0: no limit"),
            ],
        },
        Group {
            title: "Process",
            keys: &[
                key_of("eventry_pid_file", Path, Unset("eventryd.pid in the directory of the sockets"), Restart, "file with the number of the process, locked while it runs; the option --pid-file").like("\"/run/eventryd.pid\""),
                key_of("eventry_relay_uri", Text, Unset("none"), Effect::None("nothing is relayed: the driver is the one in memory"), "another daemon that carries out the calls").like("\"qemu:///system\""),
            ],
        },
        Group {
            title: "Of no effect here, accepted so that files of libvirtd work",
            keys: &[
                key_of("admin_min_workers", ANY, Integer(5), NO_ADMIN, "worker threads of the admin socket from the start"),
                key_of("admin_max_workers", POSITIVE, Integer(20), NO_ADMIN, "worker threads of the admin socket at the most"),
                key_of("admin_max_clients", POSITIVE, Integer(5000), NO_ADMIN, "connections to the admin socket"),
                key_of("admin_max_queued_clients", ANY, Integer(20), NO_ADMIN, "connections to the admin socket that may wait"),
                key_of("admin_max_client_requests", POSITIVE, Integer(5), NO_ADMIN, "calls of one admin connection in progress"),
                key_of("admin_keepalive_interval", Signed, Integer(5), NO_ADMIN, "keepalive of admin connections"),
                key_of("admin_keepalive_count", ANY, Integer(5), NO_ADMIN, "keepalive of admin connections"),
                key_of("admin_keepalive_required", Bool, Integer(0), OBSOLETE, "whether admin clients must know keepalive"),
                key_of("audit_level", ANY, Integer(1), NO_AUDIT, "the kernel's audit: 0 off, 1 if there is one, 2 required").like("1"),
                key_of("audit_logging", Bool, Integer(0), NO_AUDIT, "whether audit messages are logged too"),
                key_of("host_uuid", Text, Unset("none"), Effect::None("the driver in memory has no UUID of the host"), "the UUID of the host").like("\"8b6d0a4e-0d1b-4a3f-9f3c-3a1f7a0c9d11\""),
                key_of("host_uuid_source", OneOf(&["smbios", "machine-id"]), Preset::Text("smbios"), Effect::None("the driver in memory has no UUID of the host"), "where the UUID of the host comes from"),
                key_of("ovs_timeout", ANY, Integer(5), Effect::None("there is no Open vSwitch"), "seconds to wait for Open vSwitch"),
            ],
        },
    ]
};

/// The longest idle time in seconds: libvirt counts it in milliseconds as an `int` (DM-107).
pub const MAX_TIMEOUT: u32 = i32::MAX as u32 / 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The keys of spec §17, and the one that came later.
    const OF_LIBVIRT: &str = "listen_tls listen_tcp tls_port tcp_port listen_addr unix_sock_group unix_sock_ro_perms \
        unix_sock_rw_perms unix_sock_admin_perms unix_sock_dir auth_unix_ro auth_unix_rw auth_tcp auth_tls access_drivers \
        key_file cert_file ca_file crl_file key_files cert_files tls_no_sanity_certificate tls_no_verify_certificate \
        tls_allowed_dn_list tls_priority tcp_min_ssf sasl_allowed_username_list max_clients max_queued_clients \
        max_anonymous_clients min_workers max_workers prio_workers max_client_requests admin_min_workers \
        admin_max_workers admin_max_clients admin_max_queued_clients admin_max_client_requests keepalive_interval \
        keepalive_count admin_keepalive_interval admin_keepalive_count log_level log_filters log_outputs audit_level \
        audit_logging host_uuid host_uuid_source ovs_timeout keepalive_required admin_keepalive_required max_requests \
        mdns_adv mdns_name log_buffer_size tls_no_verify_address";

    #[test]
    fn every_key_of_libvirt_is_there_once_and_ours_have_a_prefix() {
        let names: Vec<&str> = all_keys().map(|key| key.name).collect();
        let once: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len(), "a key stands there twice");
        let ours: BTreeSet<&str> = once
            .iter()
            .copied()
            .filter(|name| name.starts_with("eventry_"))
            .collect();
        let theirs: BTreeSet<&str> = OF_LIBVIRT.split_whitespace().collect();
        assert_eq!(
            once.difference(&ours).copied().collect::<BTreeSet<_>>(),
            theirs
        );
    }

    #[test]
    fn the_nearest_key_is_named_only_if_it_is_near() {
        let nearest = |name| nearest_key(name).map(|key| key.name);
        assert_eq!(nearest("max_client"), Some("max_clients"));
        assert_eq!(nearest("maxclients"), Some("max_clients"));
        assert_eq!(nearest("unix_socket_dir"), Some("unix_sock_dir"));
        assert_eq!(nearest("LISTEN_TCP"), None);
        assert_eq!(nearest("zzz"), None);
        assert_eq!(nearest(&"x".repeat(1_000_000)), None);
    }

    #[test]
    fn a_distance_counts_the_first_64_characters_only() {
        assert_eq!(distance("kitten", "sitting"), 3);
        let ours = "é".repeat(64);
        assert_eq!(distance(&ours, &"é".repeat(63)), 1);
        assert_eq!(distance(&ours, &"é".repeat(1_000)), 0);
    }
}
