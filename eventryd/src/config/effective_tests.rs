//! Defaults, file, environment and options together.

use super::*;
use crate::config::{Format, Kind, Preset, Virconf};
use crate::net::RunDir;
use crate::net::tls::ServerFiles;
use crate::server::TlsService;
use std::path::PathBuf;

fn given() -> Given {
    Given::new(Config::new(RunDir::Chosen("/run/example".into())))
}

fn file(text: &str) -> Source {
    Source {
        path: "a.conf".into(),
        format: Format::Libvirt,
        text: text.as_bytes().to_vec(),
    }
}

fn effective(text: &str) -> Effective {
    let effective = given().with_file(Some(&file(text)));
    effective.unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn faults(text: &str) -> Vec<String> {
    let faults = given().with_file(Some(&file(text))).unwrap_err();
    faults.iter().map(Fault::to_string).collect()
}

#[test]
fn without_settings_the_daemon_has_its_own_defaults() {
    let effective = given().with_file(None).unwrap();
    // It listens on no network, but would serve a socket that is passed to it.
    let mut base = given().base;
    base.passed_tls = Some(TlsService::new(given().tls_files));
    assert_eq!(format!("{:?}", effective.daemon), format!("{base:?}"));
    assert_eq!(effective.log.level, Level::Info);
    assert_eq!(effective.remarks(), [""; 0]);
}

#[test]
fn settings_reach_the_daemon() {
    let daemon = effective(
        "max_clients = 7\nmax_queued_clients = 0\nmax_client_requests = 2\nunix_sock_ro_perms = '0444'\n\
         unix_sock_rw_perms = \"0770\"\nunix_sock_dir = '/x'\neventry_prefix = 'libvirt'\neventry_shutdown_grace = 0",
    )
    .daemon;
    assert_eq!(daemon.max_clients.get(), 7);
    assert_eq!(daemon.max_queued_clients, 30);
    assert_eq!(daemon.client_limits.max_client_requests.get(), 2);
    assert_eq!((daemon.ro_mode, daemon.rw_mode), (0o444, 0o770));
    assert_eq!(daemon.socket_path().to_str(), Some("/x/libvirt-sock"));
    assert!(daemon.shutdown_grace.is_zero());
}

/// DM-203
#[test]
fn polkit_opens_the_read_write_socket_unless_a_mode_is_given() {
    for (text, mode) in [
        ("", 0o700),
        ("auth_unix_rw = 'none'", 0o700),
        ("auth_unix_rw = 'polkit'", 0o777),
        (
            "unix_sock_rw_perms = '0750'; auth_unix_rw = 'polkit'",
            0o750,
        ),
    ] {
        assert_eq!(effective(text).daemon.rw_mode, mode, "{text}");
    }
}

/// DM-301, DM-302
#[test]
fn network_sockets_are_off_by_default_and_have_libvirts_ports() {
    let daemon = effective("").daemon;
    assert!(daemon.tcp.is_none() && daemon.tls.is_none());
    let daemon = effective("listen_tcp = 1; auth_tcp = 'none'; listen_tls = 1").daemon;
    assert_eq!(daemon.tcp.unwrap().port, "16509");
    assert_eq!(daemon.tls.unwrap().port, "16514");
}

#[test]
fn options_beat_the_environment_and_that_beats_the_file() {
    let mut given = given();
    let level = |number, origin| ("log_level", Value::Integer(number), origin);
    let text = file("log_level = 4");
    let level_of = |given: &Given| given.with_file(Some(&text)).unwrap().log.level;
    assert_eq!(level_of(&given), Level::Error);
    given
        .environment
        .push(level(3, Origin::Environment("LIBVIRT_DEBUG")));
    assert_eq!(level_of(&given), Level::Warning);
    given.options.push(level(1, Origin::Option("--verbose")));
    assert_eq!(level_of(&given), Level::Debug);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut given = given();
    let origin = Origin::Environment("LIBVIRT_LOG_OUTPUTS");
    given
        .environment
        .push(("log_outputs", Value::Text("1:nowhere".to_owned()), origin));
    let file =
        file("max_client = 1\nmax_anonymous_clients = 9; max_clients = 8\nlog_filters = \"9:x\"\n");
    let faults = given.with_file(Some(&file)).unwrap_err();
    let places: Vec<&str> = faults.iter().map(|fault| fault.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "a.conf:1:1",
            "a.conf:2:25",
            "a.conf:3:15",
            "environment LIBVIRT_LOG_OUTPUTS"
        ]
    );
}

/// DM-703: it starts with fewer, and says so.
#[test]
fn min_workers_above_max_workers_gives_a_warning() {
    assert_eq!(effective("min_workers = 20").remarks(), [""; 0]);
    assert_eq!(
        effective("min_workers = 9\nmax_workers = 3").remarks(),
        ["`min_workers` (9) is more than `max_workers` (3): there are 3 workers from the start"]
    );
}

#[test]
fn anonymous_clients_are_at_most_all_clients() {
    assert!(
        faults("max_clients = 10; max_anonymous_clients = 11")[0]
            .contains("(11) must not be more than `max_clients` (10)")
    );
    // Only the default is more.
    effective("max_clients = 10");
    effective("max_clients = 10; max_anonymous_clients = 10");
}

#[test]
fn changes_are_named_by_key() {
    let old = effective("max_clients = 30\nlog_level = 2");
    let new = effective("max_clients = 31\nunix_sock_dir = '/y'\nlog_level = 0");
    let names: Vec<&str> = old.changes(&new).map(|key| key.name).collect();
    assert_eq!(names, ["unix_sock_dir", "max_clients", "log_level"]);
    assert_eq!(old.changes(&old).count(), 0);
}

#[test]
fn the_name_of_the_file_stays_on_its_line() {
    let source = Source {
        path: "a\nlisten_tls = 1\u{1b}".into(),
        ..file("max_clients = 30")
    };
    let printed = given().with_file(Some(&source)).unwrap().print();
    assert_eq!(printed.lines().count(), all_keys().count());
    assert!(
        printed.contains(r"max_clients = 30  # a\nlisten_tls = 1\u{1b}:1"),
        "{printed}"
    );
    let source = Source {
        text: b"x".to_vec(),
        ..source
    };
    let fault = &given().with_file(Some(&source)).unwrap_err()[0];
    assert!(
        fault
            .to_string()
            .starts_with(r"a\nlisten_tls = 1\u{1b}:1:2: "),
        "{fault}"
    );
}

#[test]
fn what_could_not_be_printed_is_refused_with_its_place() {
    let source = Source {
        format: Format::Toml,
        ..file(
            "listen_tcp = false\nlisten_addr = \"a\\n\\\"\\\"\\\"\"\ntls_allowed_dn_list = [ \"'\\\"\" ]",
        )
    };
    let faults = given().with_file(Some(&source)).unwrap_err();
    let places: Vec<&str> = faults.iter().map(|fault| fault.place.as_str()).collect();
    assert_eq!(places, ["a.conf:2:15", "a.conf:3:23"]);
    for (fault, name) in faults
        .iter()
        .zip(["`listen_addr`", "`tls_allowed_dn_list`"])
    {
        assert!(fault.message.starts_with(name), "{fault}");
        assert!(fault.message.contains("cannot write"), "{fault}");
    }
}

#[test]
fn what_is_printed_says_where_it_came_from_and_reads_the_same() {
    let mut given = given();
    given.options.push((
        "eventry_prefix",
        Value::Text("x".to_owned()),
        Origin::Option("--prefix"),
    ));
    let effective = given
        .with_file(Some(&file("\nmax_clients = 30\naudit_level = 1")))
        .unwrap();
    let printed = effective.print();
    let has = |line: &str| {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\n{printed}"
        )
    };
    has("max_clients = 30  # a.conf:2");
    has("eventry_prefix = \"x\"  # option --prefix");
    has("min_workers = 5  # default");
    has("audit_level = 1  # a.conf:3; no effect here");
    has("# listen_addr is not set: all addresses");
    assert_eq!(printed.lines().count(), all_keys().count());
    let again = Virconf::parse(printed.as_bytes()).unwrap();
    for setting in again.settings {
        let key = crate::config::key(&setting.name).unwrap();
        assert_eq!(effective.settings.value(key), Some(setting.value));
    }
}

/// Where a setting shows only beside others.
const BESIDE: [(&str, &str); 3] = [
    ("listen_tcp", "1"),
    ("auth_tcp", "'none'"),
    ("listen_tls", "1"),
];

/// Another value than the default one, in libvirt's syntax.
fn another_value(key: &Key) -> String {
    let number = match key.preset {
        Preset::Integer(number) => number,
        _ => 0,
    };
    match (key.name, key.kind) {
        ("log_filters", _) => "\"1:x\"".to_owned(),
        ("log_outputs", _) => "\"1:stderr\"".to_owned(),
        (_, Kind::Bool) => (1 - number).to_string(),
        (_, Kind::Unsigned { .. } | Kind::Signed) => (number + 1).to_string(),
        (_, Kind::Text) => "\"1\"".to_owned(),
        (_, Kind::Path) => "\"/elsewhere\"".to_owned(),
        (_, Kind::Mode) => "\"0640\"".to_owned(),
        (_, Kind::OneOf(choices)) => {
            let other = choices
                .iter()
                .find(|choice| Preset::Text(choice) != key.preset);
            format!("\"{}\"", other.unwrap())
        }
        (_, Kind::List) => "[ \"x\" ]".to_owned(),
    }
}

/// No setting is swallowed: it changes what is in force, is refused, or is named as being without effect.
#[test]
fn every_setting_has_an_effect_or_is_named() {
    let in_force = |text: &str| {
        let effective = given().with_file(Some(&file(text))).ok()?;
        let in_force = format!("{:?} {:?}", effective.daemon, effective.log);
        Some((in_force, effective.remarks()))
    };
    for key in all_keys() {
        let beside = BESIDE.iter().filter(|(name, _)| *name != key.name);
        let beside: String = beside
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect();
        let text = format!("{} = {}\n{beside}", key.name, another_value(key));
        // A refusal is an effect.
        let Some((with, remarks)) = in_force(&text) else {
            continue;
        };
        let changes = in_force(&beside).is_none_or(|(without, _)| with != without);
        let is_named = remarks
            .iter()
            .any(|remark| remark.contains(&format!("`{}`", key.name)));
        assert!(changes != is_named, "{text}");
    }
}

/// Certificates and keys from "CERTIFICATE KEY".
fn pairs(named: &[&str]) -> Vec<ServerFiles> {
    let pair = |named: &&str| {
        let (certificate, key) = named.split_once(' ').unwrap();
        ServerFiles {
            certificate: certificate.into(),
            key: key.into(),
        }
    };
    named.iter().map(pair).collect()
}

#[test]
fn keys_and_certificates_are_named_together_or_not_at_all() {
    let files = |text: &str| {
        let effective = given().with_file(Some(&file(&format!("listen_tls = 1; {text}"))));
        effective.map(|effective| effective.daemon.tls.unwrap().files)
    };
    let defaults = files("").unwrap();
    assert_eq!(defaults, given().tls_files);
    let own = files("ca_file = '/a'; cert_file = '/c'; key_file = '/k'; crl_file = '/r'").unwrap();
    assert_eq!([own.ca, own.crl.unwrap()], ["/a", "/r"].map(PathBuf::from));
    assert_eq!(own.server, pairs(&["/c /k"]));
    let listed = files("cert_files = [ '/c' ]; key_files = [ '/k' ]").unwrap();
    assert_eq!(listed.server, pairs(&["/c /k"]));
    assert_eq!(listed.ca, defaults.ca);
    let listed = "ca_file = '/a'; cert_files = [ '/c', '/d' ]; key_files = [ '/k', '/l' ]";
    let listed = files(listed).unwrap();
    assert_eq!(listed.server, pairs(&["/c /k", "/d /l"]));
    assert_eq!(listed.ca, PathBuf::from("/a"));
    for wrong in [
        "key_file = '/k'",
        "ca_file = '/a'; key_file = '/k'",
        "key_files = [ '/k' ]",
        "cert_files = [ '/c' ]",
        "cert_files = []; key_files = []",
        "cert_files = [ '/c', '/d' ]; key_files = [ '/k' ]",
        "cert_files = [ '/c' ]; key_files = [ '/k' ]; cert_file = '/c'",
        "cert_files = [ 'c' ]; key_files = [ '/k' ]",
        "ca_file = '/a'",
        "cert_files = [ '/c' ]; key_files = [ '/k' ]; ca_file = '/a'; cert_file = '/c'; key_file = '/k'",
    ] {
        assert!(files(wrong).is_err(), "{wrong}");
    }
}
