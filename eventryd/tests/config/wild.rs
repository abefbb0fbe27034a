//! Configuration files as distributions and deployment tools write them, and files with odd bytes.
//!
//! `LIBVIRTD` is the result of libvirtd 9.0 with the same file, measured in a private namespace.

use eventryd::config::{ConfigError, ConfigFile, ConfigFormat, LoadedConfig, Overrides};
use eventryd::net::RunDir;
use eventryd::server::Config;

/// Result of libvirtd: the file is accepted or not.
type Libvirtd = bool;

/// Parts of the warnings, in order, or parts of the errors.
type Expected = Result<&'static [&'static str], &'static [&'static str]>;

const ACCEPTS: Libvirtd = true;
const REFUSES: Libvirtd = false;
const QUIET: Expected = Ok(&[]);

/// Files of distributions, Ansible, kolla, devstack, puppet and salt.
const DEPLOYED: &[(&str, &[u8], Libvirtd, Expected)] = &[
    ("empty", b"", ACCEPTS, QUIET),
    ("comments only", b"# Master libvirt daemon configuration file\n#\n#listen_tls = 0\n", ACCEPTS, QUIET),
    (
        "kolla without TLS",
        b"listen_tcp = 1\nlisten_tls = 0\nauth_tcp = \"none\"\nca_file = \"\"\nlog_level = 3\n\
          log_outputs = \"3:file:/var/log/kolla/libvirt/libvirtd.log\"\nlisten_addr = \"10.0.0.5\"\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "every TLS file empty and TLS off",
        b"key_file = \"\"\ncert_file = \"\"\nca_file = \"\"\ncrl_file = \"\"\ntls_priority = \"\"\ntls_port = \"\"\n\
          listen_addr = \"\"\nmdns_name = \"\"\n",
        ACCEPTS,
        Ok(&["`mdns_name` has no effect"]),
    ),
    (
        "every TLS file empty and TLS on",
        b"listen_tls = 1\nkey_file = \"\"\ncert_file = \"\"\nca_file = \"\"\n",
        ACCEPTS,
        Err(&["`ca_file` is empty: libvirtd starts without the keys and certificates then"]),
    ),
    (
        "no revocation list",
        b"listen_tls = 1\ncrl_file = \"\"\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "devstack",
        b"listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"none\"\nunix_sock_group = \"libvirt\"\n\
          unix_sock_rw_perms = \"0770\"\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n\
          log_filters=\"1:libvirt 1:qemu 1:conf 1:security 3:event 3:json\"\nlog_outputs=\"1:file:/var/log/libvirt/libvirtd.log\"\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "puppet, sorted, no final newline",
        b"auth_tcp=\"none\"\nauth_unix_ro=\"none\"\nlisten_tcp=1\nlisten_tls=0\nmax_clients=20\nmax_workers=20",
        ACCEPTS,
        QUIET,
    ),
    (
        "settings of old releases",
        b"mdns_adv = 0\nmdns_name = \"Virtualization Host Joe Demo\"\nlog_buffer_size = 64\nmax_requests = 20\n",
        ACCEPTS,
        Ok(&["`log_buffer_size` has", "`max_requests` has", "`mdns_adv` has", "`mdns_name` has"]),
    ),
    (
        "settings without effect here",
        b"unix_sock_admin_perms = \"0700\"\nhost_uuid_source = \"smbios\"\novs_timeout = 5\naudit_level = 2\n\
          audit_logging = 1\nadmin_max_clients = 5\nprio_workers = 5\naccess_drivers = [ \"polkit\" ]\n",
        ACCEPTS,
        Ok(&["`access_drivers`", "`admin_max_clients`", "`audit_level`", "`audit_logging`", "`host_uuid_source`",
            "`ovs_timeout`", "`unix_sock_admin_perms`"]),
    ),
    (
        "settings of qemu.conf",
        b"user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nmax_files = 32768\n",
        ACCEPTS,
        Ok(&["a.conf:1: `user` has", "a.conf:2: `group` has", "a.conf:3: `security_driver` has", "a.conf:4: `max_files` has"]),
    ),
    ("Fedora's priority", b"tls_priority = \"@LIBVIRT,SYSTEM\"\nlisten_tls = 1\n", ACCEPTS, QUIET),
    ("priority with !", b"tls_priority=\"NORMAL:!VERS-TLS1.1\"\nlisten_tls = 1\n", ACCEPTS, QUIET),
    (
        "old versions of TLS added",
        b"tls_priority=\"NORMAL:+VERS-TLS1.0\"\nlisten_tls = 1\n",
        ACCEPTS,
        Err(&["versions before TLS 1.2 are not offered"]),
    ),
    (
        "min_workers above max_workers",
        b"min_workers = 30\nmax_workers = 20\n",
        ACCEPTS,
        Ok(&["`min_workers` (30) exceeds"]),
    ),
    ("typo that may open a socket", b"listn_tls = 0\n", ACCEPTS, Err(&["did you mean `listen_tls`?"])),
    ("wrong case", b"Auth_Unix_RW = \"sasl\"\n", ACCEPTS, Err(&["did you mean `auth_unix_rw`?"])),
    ("setting of eventryd that does not exist", b"eventry_nonsense_here = 1\n", ACCEPTS, Err(&["unknown setting"])),
    ("run directory empty", b"unix_sock_dir = \"\"\n", ACCEPTS, Err(&["which is the root directory for libvirtd"])),
    ("mode empty", b"unix_sock_ro_perms = \"\"\n", REFUSES, Err(&["octal digits"])),
    ("mode with sticky bit", b"unix_sock_ro_perms = \"1777\"\n", ACCEPTS, Err(&["at most \"0777\""])),
    ("mode without quotes", b"unix_sock_ro_perms = 0777\n", REFUSES, Err(&["a string, in quotes"])),
    ("scheme empty", b"auth_unix_rw = \"\"\n", REFUSES, Err(&["one of \"none\""])),
    ("number in quotes", b"max_clients = \"30\"\n", REFUSES, Err(&["a number, not a string"])),
    ("one DN, no list", b"tls_allowed_dn_list = \"CN=x\"\n", REFUSES, Err(&["a list of strings"])),
    ("list with a number", b"tls_allowed_dn_list = [ \"CN=x\", 1 ]\n", REFUSES, Err(&["contains a number"])),
    ("SSF of the documentation", b"tcp_min_ssf = 56\n", REFUSES, Err(&["at least 112"])),
    ("limits that contradict", b"max_clients = 10\nmax_anonymous_clients = 20\n", REFUSES, Err(&["must not exceed"])),
    ("no workers", b"max_workers = 0\n", REFUSES, Err(&["at least 1"])),
    ("log level", b"log_level = 5\n", REFUSES, Err(&["from 0 to 4"])),
    ("outputs with a comma", b"log_outputs = \"1:stderr,2:syslog\"\n", REFUSES, Err(&["`log_outputs`"])),
    ("filter without level", b"log_filters = \"x\"\n", REFUSES, Err(&["`log_filters`"])),
    ("keepalive off", b"keepalive_interval = -1\nkeepalive_count = 0\n", ACCEPTS, QUIET),
];

/// Files with odd syntax and bytes.
const ODD: &[(&str, &[u8], Libvirtd, Expected)] = &[
    (
        "CRLF",
        b"# one\r\nmax_clients = 30\r\n\r\nlisten_tcp = 0\r\n",
        ACCEPTS,
        QUIET,
    ),
    ("tabs", b"\tmax_clients\t=\t30\t# enough\n", ACCEPTS, QUIET),
    (
        "comment behind a value",
        b"max_clients = 30 # was 20\nmdns_adv = 0# off\n",
        ACCEPTS,
        Ok(&["`mdns_adv`"]),
    ),
    (
        "two settings in a line",
        b"max_clients = 30; max_workers = 30;\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "single quotes",
        b"unix_sock_ro_perms = '0777'\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "duplicate, the second invalid",
        b"max_clients = 30\nmax_clients = \"x\"\n",
        ACCEPTS,
        Ok(&["a.conf:2: `max_clients` has no effect: line 1 sets it"]),
    ),
    (
        "list over lines",
        b"tls_allowed_dn_list = [\n  \"CN=a\",\n\t'CN=b',\n]\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "empty lists",
        b"tls_allowed_dn_list = []\nsasl_allowed_username_list = [ ]\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "comment in a list",
        b"tls_allowed_dn_list = [\n \"CN=a\", # b\n]\n",
        REFUSES,
        Err(&["a.conf:2:10", "expecting a value"]),
    ),
    ("blanks only", b" \n", REFUSES, QUIET),
    (
        "Latin-1 in a comment",
        b"# caf\xe9\nmax_clients = 30\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "Latin-1 in a value",
        b"mdns_name = \"caf\xe9\"\n",
        ACCEPTS,
        Err(&["convert the file to UTF-8"]),
    ),
    (
        "NUL in a comment",
        b"# a\0b\nmax_clients = 30\n",
        ACCEPTS,
        QUIET,
    ),
    (
        "NUL in a value",
        b"mdns_name = \"a\0b\"\n",
        ACCEPTS,
        Err(&["contains a NUL byte, where libvirtd"]),
    ),
    (
        "byte order mark",
        b"\xef\xbb\xbfmax_clients = 0\n",
        REFUSES,
        Err(&["byte order mark (BOM)", "at least 1"]),
    ),
    (
        "UTF-16",
        b"\xff\xfem\0a\0x\0",
        REFUSES,
        Err(&["the file is UTF-16"]),
    ),
    (
        "huge number",
        b"max_clients = 99999999999999999999\n",
        REFUSES,
        Err(&["too large"]),
    ),
    (
        "number above 32 bits",
        b"max_clients = 4294967296\n",
        REFUSES,
        Err(&["from 1 to 4294967295, not 4294967296"]),
    ),
    (
        "negative number",
        b"max_clients = -1\n",
        REFUSES,
        Err(&["at least 1, not -1"]),
    ),
    (
        "hexadecimal",
        b"max_clients = 0x10\n",
        REFUSES,
        Err(&["end of the line"]),
    ),
    (
        "boolean word",
        b"listen_tcp = yes\n",
        REFUSES,
        Err(&["expecting a value"]),
    ),
    (
        "boolean word of TOML",
        b"listen_tcp = true\nlisten_tls = false # off\nlog_filters = truely\n\
          max_clients = true\nlog_outputs = true\ntls_allowed_dn_list = [ true ]\n",
        REFUSES,
        Err(&[
            "a.conf:1:14: expecting a value: a number, a string in quotes or a list in [ ]; use 1 or 0; true and false are TOML\n1",
            "a.conf:2:14: expecting a value: a number, a string in quotes or a list in [ ]; use 1 or 0; true and false are TOML\n2",
            "a.conf:3:15: expecting a value: a number, a string in quotes or a list in [ ]\n3",
            "a.conf:4:15: expecting a value: a number, a string in quotes or a list in [ ]\n4",
            "a.conf:5:15: expecting a value: a number, a string in quotes or a list in [ ]\n5",
            "a.conf:6:25: expecting a value: a number, a string in quotes or a list in [ ]\n6",
        ]),
    ),
    (
        "2 as a boolean",
        b"listen_tcp = 2\n",
        REFUSES,
        Err(&["0 or 1"]),
    ),
    (
        "no equals sign",
        b"max_clients 30\n",
        REFUSES,
        Err(&["expecting `=`"]),
    ),
    (
        "two equals signs",
        b"max_clients == 30\n",
        REFUSES,
        Err(&["expecting a value"]),
    ),
    (
        "section of another format",
        b"[libvirtd]\nmax_clients = 0\n",
        REFUSES,
        Err(&["the name of a setting", "a.conf:2:15"]),
    ),
    (
        "merge conflict",
        b"<<<<<<< HEAD\nmax_clients = 1\n=======\n",
        REFUSES,
        Err(&["a.conf:1:1", "a.conf:3:1"]),
    ),
];

fn load(format: ConfigFormat, text: &[u8]) -> Result<LoadedConfig, Vec<ConfigError>> {
    let overrides = Overrides::new(Config::new(RunDir::Chosen("/run/example".into())));
    overrides.load(Some(&ConfigFile {
        path: "a.conf".into(),
        format,
        text: text.to_vec(),
    }))
}

/// Checks that each text is the part of one message, in this order.
fn assert_messages(name: &str, found: &[String], expected: &[&str]) {
    assert_eq!(found.len(), expected.len(), "{name}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn wild_files_give_what_libvirtd_does_or_say_why_not() {
    assert!(DEPLOYED.len() + ODD.len() > 50);
    for (name, text, libvirtd, expected) in DEPLOYED.iter().chain(ODD) {
        match (load(ConfigFormat::Libvirt, text), expected) {
            (Ok(loaded), Ok(warnings)) => assert_messages(name, &loaded.warnings(), warnings),
            (Err(errors), Err(parts)) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let joined = errors.join("\n");
                for part in *parts {
                    assert!(joined.contains(part), "{name}: {joined}");
                }
            }
            (found, _) => panic!("{name} (libvirtd accepts it: {libvirtd}): {found:?}"),
        }
    }
}

#[test]
fn very_long_lines_are_read_and_refused_in_one_line() {
    let dn = "x".repeat(1_000_000);
    let text = format!("tls_allowed_dn_list = [ \"{dn}\" ] # {dn}\n");
    assert!(load(ConfigFormat::Libvirt, text.as_bytes()).is_ok());
    let errors = load(ConfigFormat::Libvirt, dn.as_bytes()).unwrap_err();
    let excerpt = errors[0].excerpt.as_ref().unwrap();
    assert!(excerpt.lines().all(|line| line.len() < 100));
}

#[test]
fn unknown_setting_in_toml_is_an_error() {
    let errors = load(ConfigFormat::Toml, b"user = \"root\"\n").unwrap_err();
    assert!(errors[0].message.contains("unknown setting `user`"));
}

#[test]
fn syntax_errors_are_limited_in_number() {
    let text = "a = ?\n".repeat(100_000);
    let errors = load(ConfigFormat::Libvirt, text.as_bytes()).unwrap_err();
    assert_eq!(errors.len(), eventryd::config::MAX_SYNTAX_ERRORS);
}

#[test]
fn priority_of_the_system_is_noted_with_its_line() {
    let loaded = load(ConfigFormat::Libvirt, b"\ntls_priority = '@LIBVIRT,SYSTEM'").unwrap();
    let notes = loaded.notes();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("a.conf:2: `tls_priority`: the system policy @LIBVIRT,SYSTEM of"));
    let loaded = load(ConfigFormat::Libvirt, b"tls_priority = 'NORMAL'").unwrap();
    assert!(loaded.notes().is_empty());
}
