//! Configurations for the comparison of `--check-config` with the start.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Preparation of the directory of a case, besides its configuration.
pub(crate) type Setup = fn(&Path);

const NOTHING: Setup = |_| {};

/// Name, preparation, text, exit status, line of the setting, and part of the message.
type Wrong = (
    &'static str,
    Setup,
    &'static str,
    i32,
    Option<u32>,
    &'static str,
);

/// Configurations with which a daemon cannot start. `DIR` in text and message stands for the directory of the case, and
/// `KEYS` for the lines that name valid keys and certificates.
pub(crate) const WRONG: &[Wrong] = &[
    (
        "pid file as log file",
        NOTHING,
        "eventry_pid_file = 'DIR/same'\nlog_outputs = '1:file:DIR/same'",
        1,
        Some(2),
        "the log file DIR/same (`log_outputs`) and the pid file DIR/same (`eventry_pid_file`) are the same file",
    ),
    (
        "pid file as log file through links",
        |dir| {
            symlink(".", dir.join("here")).unwrap();
            symlink("here/pid", dir.join("log")).unwrap();
        },
        "eventry_pid_file = 'DIR/pid'\nlog_outputs = '3:stderr 1:file:DIR/log'",
        1,
        Some(2),
        "the log file DIR/log (`log_outputs`) and the pid file DIR/pid (`eventry_pid_file`) are the same file",
    ),
    (
        "pid file of the run directory as log file",
        |dir| write(dir, "eventryd.pid", "log"),
        "unix_sock_dir = 'DIR'\nlog_outputs = '1:file:DIR/eventryd.pid'",
        1,
        Some(2),
        "the log file DIR/eventryd.pid (`log_outputs`) and the pid file DIR/eventryd.pid (`unix_sock_dir`)",
    ),
    (
        "socket as log file",
        NOTHING,
        "unix_sock_dir = 'DIR'\nlog_outputs = '1:file:DIR/eventry-sock-ro'",
        1,
        Some(2),
        "and the socket DIR/eventry-sock-ro (`unix_sock_dir`) are the same file",
    ),
    (
        "socket as pid file",
        NOTHING,
        "unix_sock_dir = 'DIR'\neventry_pid_file = 'DIR/eventry-sock'",
        1,
        Some(2),
        "the pid file DIR/eventry-sock (`eventry_pid_file`) and the socket DIR/eventry-sock (`unix_sock_dir`)",
    ),
    (
        "port of both network services",
        NOTHING,
        "listen_tcp = 1; auth_tcp = 'none'; listen_tls = 1; listen_addr = '127.0.0.1'; KEYS\ntls_port = '17777'\n\
         tcp_port = '17777'",
        6,
        Some(3),
        "`tcp_port` and `tls_port` are both 17777",
    ),
    (
        "group",
        NOTHING,
        "\nunix_sock_group = 'no such group'",
        6,
        Some(2),
        "there is no group \"no such group\"",
    ),
    (
        "empty group",
        NOTHING,
        "unix_sock_group = ''",
        6,
        Some(1),
        "there is no group \"\"",
    ),
    (
        "host",
        NOTHING,
        "listen_tcp = 1\nauth_tcp = 'none'\nlisten_addr = 'host.invalid'",
        6,
        Some(3),
        "resolve \"host.invalid\"",
    ),
    (
        "brackets",
        NOTHING,
        "listen_tcp = 1\nauth_tcp = 'none'\nlisten_addr = '[::1]'",
        6,
        Some(3),
        "without brackets",
    ),
    (
        "empty host",
        NOTHING,
        "listen_tcp = 1; auth_tcp = 'none'\nlisten_addr = ''",
        6,
        Some(2),
        "resolve \"\"",
    ),
    (
        "service",
        NOTHING,
        "listen_tcp = 1\nauth_tcp = 'none'\ntcp_port = 'nonsense'",
        6,
        Some(3),
        "no port \"nonsense\"",
    ),
    (
        "port",
        NOTHING,
        "listen_tls = 1\ntls_port = '65536'\nKEYS",
        6,
        Some(2),
        "no port \"65536\"",
    ),
    (
        "port after a space",
        NOTHING,
        "listen_tcp = 1\nauth_tcp = 'none'\ntcp_port = ' 70000'",
        6,
        Some(3),
        "no port \" 70000\"",
    ),
    (
        "group number that changes nothing",
        NOTHING,
        "unix_sock_group = '4294967295'",
        6,
        Some(1),
        "there is no group \"4294967295\"",
    ),
    (
        "CA",
        NOTHING,
        "listen_tls = 1\nca_file = '/nowhere/ca'\ncert_file = '/c'\nkey_file = '/k'",
        6,
        Some(2),
        "/nowhere/ca",
    ),
    (
        "key",
        |dir| {
            write(dir, "key", "nonsense");
            mode(dir, "key", 0o600);
        },
        "listen_tls = 1\nKEYS\nkey_file = 'DIR/key'",
        6,
        Some(3),
        "no usable private key in DIR/key",
    ),
    (
        "certificate",
        |dir| write(dir, "cert", ""),
        "KEYS\nlisten_tls = 1\ncert_file = 'DIR/cert'",
        6,
        Some(3),
        "server certificate in DIR/cert",
    ),
    (
        "CRL",
        |dir| write(dir, "crl", "x"),
        "KEYS\nlisten_tls = 1\n\ncrl_file = 'DIR/crl'",
        6,
        Some(4),
        "revocation list in DIR/crl",
    ),
    (
        "default files",
        NOTHING,
        "\n\nlisten_tls = 1",
        6,
        Some(3),
        "/etc/pki/CA/cacert.pem",
    ),
    (
        "passwords",
        NOTHING,
        "auth_unix_rw = 'none'\nauth_unix_ro = 'sasl'",
        7,
        Some(2),
        "cannot read the password file",
    ),
    (
        "named passwords",
        NOTHING,
        "eventry_sasl_password_file = 'DIR/p'\nauth_unix_ro = 'sasl'",
        7,
        Some(1),
        "password file DIR/p",
    ),
    (
        "open passwords",
        |dir| write(dir, "p", ""),
        "\neventry_sasl_password_file = 'DIR/p'\nauth_unix_ro = 'sasl'",
        7,
        Some(2),
        "chmod 600",
    ),
    (
        "directory of passwords",
        |dir| fs::create_dir(dir.join("p")).unwrap(),
        "\neventry_sasl_password_file = 'DIR/p'\nauth_unix_ro = 'sasl'",
        7,
        Some(2),
        "the password file DIR/p is a directory; set eventry_sasl_password_file to a file",
    ),
    (
        "pid file is a link",
        |dir| symlink("x", dir.join("pid")).unwrap(),
        "eventry_pid_file = 'DIR/pid'",
        1,
        Some(1),
        "is a symbolic link",
    ),
    (
        "pid file is a directory",
        NOTHING,
        "eventry_pid_file = 'DIR'",
        1,
        Some(1),
        "is a directory",
    ),
    (
        "no directory of the pid file",
        NOTHING,
        "\neventry_pid_file = 'DIR/no/pid'",
        1,
        Some(2),
        "cannot open the pid file DIR/no/pid",
    ),
    (
        "run directory is a file",
        |dir| write(dir, "f", ""),
        "unix_sock_dir = 'DIR/f'",
        2,
        Some(1),
        "cannot create the directory DIR/f: File exists",
    ),
    (
        "run directory below a file",
        |dir| write(dir, "f", ""),
        "unix_sock_dir = 'DIR/f/x'",
        2,
        Some(1),
        "Not a directory",
    ),
    (
        "run directory below a link that leads nowhere",
        |dir| symlink("nowhere", dir.join("link")).unwrap(),
        "unix_sock_dir = 'DIR/link/x'",
        2,
        Some(1),
        "cannot create the directory DIR/link/x: File exists",
    ),
    (
        "pid file in the process file system",
        NOTHING,
        "eventry_pid_file = '/proc/eventry-pid'",
        1,
        Some(1),
        "cannot open the pid file /proc/eventry-pid",
    ),
    (
        "long run directory",
        NOTHING,
        "unix_sock_dir = 'DIR/LONG'",
        6,
        Some(1),
        "too long for a socket address",
    ),
    (
        "long prefix",
        NOTHING,
        "\neventry_prefix = 'LONG'",
        6,
        Some(2),
        "too long for a socket address",
    ),
    (
        "socket name taken",
        |dir| {
            fs::create_dir(dir.join("r")).unwrap();
            write(dir, "r/eventry-sock", "")
        },
        "unix_sock_dir = 'DIR/r'",
        6,
        Some(1),
        "is not a socket",
    ),
    (
        "instance lock is a link",
        |dir| {
            fs::create_dir(dir.join("r")).unwrap();
            symlink("x", dir.join("r/eventryd.pid")).unwrap()
        },
        "unix_sock_dir = 'DIR/r'",
        2,
        Some(1),
        "is a symbolic link",
    ),
    (
        "directory of the log",
        NOTHING,
        "log_outputs = '1:file:DIR/no/log'",
        1,
        Some(1),
        "cannot open DIR/no/log for the log",
    ),
    (
        "log is a directory",
        NOTHING,
        "log_outputs = '1:file:DIR'",
        1,
        Some(1),
        "cannot open DIR for the log",
    ),
    (
        "log is a socket",
        |dir| drop(UnixListener::bind(dir.join("s")).unwrap()),
        "log_outputs = '1:file:DIR/s'",
        1,
        Some(1),
        "cannot open DIR/s for the log: it is a FIFO without a reader, or a socket",
    ),
    (
        "log is a link into no directory",
        |dir| symlink("no/log", dir.join("link")).unwrap(),
        "log_outputs = '1:file:DIR/link'",
        1,
        Some(1),
        "cannot open DIR/link for the log: No such file",
    ),
    (
        "log is a link to itself",
        |dir| symlink("link", dir.join("link")).unwrap(),
        "log_outputs = '1:file:DIR/link'",
        1,
        Some(1),
        "cannot open DIR/link for the log: Too many levels",
    ),
    (
        "log with a final slash",
        NOTHING,
        "log_outputs = '1:file:DIR/log/'",
        1,
        Some(1),
        "cannot open DIR/log/ for the log: Is a directory",
    ),
    (
        "log in the process file system",
        NOTHING,
        "log_outputs = '1:file:/proc/eventry-log'",
        1,
        Some(1),
        "cannot open /proc/eventry-log for the log",
    ),
    (
        "limits",
        NOTHING,
        "max_clients = 7\nmax_anonymous_clients = 8",
        1,
        Some(2),
        "must not exceed",
    ),
    (
        "TLS with polkit",
        NOTHING,
        "listen_tls = 1\nauth_tls = 'polkit'\nKEYS",
        1,
        Some(2),
        "local users only",
    ),
    (
        "TCP with SASL",
        NOTHING,
        "listen_tcp = 1\nauth_tcp = 'sasl'",
        1,
        Some(2),
        "can only be \"none\"",
    ),
    (
        "priority",
        NOTHING,
        "listen_tls = 1\nKEYS\ntls_priority = 'NONE'",
        1,
        Some(3),
        "\"NONE\"",
    ),
    (
        "syntax",
        NOTHING,
        "max_clients = yes",
        1,
        Some(1),
        "expecting a value",
    ),
];

/// Configurations with which a daemon starts.
pub(crate) const RIGHT: &[(&str, Setup, &str)] = &[
    ("defaults", NOTHING, ""),
    ("group by number", NOTHING, "unix_sock_group = '0'"),
    (
        "TCP",
        NOTHING,
        "listen_tcp = 1\nauth_tcp = 'none'\nlisten_addr = '127.0.0.1'\ntcp_port = '0'",
    ),
    (
        "host by name",
        NOTHING,
        "listen_tcp = 1\nauth_tcp = 'none'\nlisten_addr = 'localhost'\ntcp_port = ''",
    ),
    (
        "TLS",
        NOTHING,
        "listen_tls = 1\nKEYS\nlisten_addr = '::1'\ntls_port = '0'\ntls_priority = '@LIBVIRT,SYSTEM'\ncrl_file = ''",
    ),
    (
        "unused wrong files",
        NOTHING,
        "ca_file = '/nowhere/ca'\neventry_sasl_password_file = '/nowhere/p'",
    ),
    (
        "passwords",
        |dir| {
            write(dir, "p", "");
            mode(dir, "p", 0o600)
        },
        "eventry_sasl_password_file = 'DIR/p'\nauth_unix_ro = 'sasl'",
    ),
    (
        "pid file of a dead daemon",
        |dir| write(dir, "pid", "1\n"),
        "eventry_pid_file = 'DIR/pid'",
    ),
    (
        "run directory to make",
        NOTHING,
        "unix_sock_dir = 'DIR/a/b/c'",
    ),
    ("new log file", NOTHING, "log_outputs = '1:file:DIR/log'"),
    (
        "new log file through a link",
        |dir| symlink("log", dir.join("link")).unwrap(),
        "log_outputs = '1:file:DIR/link'",
    ),
];

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
    mode(dir, name, 0o644);
}

fn mode(dir: &Path, name: &str, mode: u32) {
    fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
}
