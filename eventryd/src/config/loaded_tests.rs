//! Tests of the combination of defaults, file, environment and options.

use super::*;
use crate::config::{ConfigFormat, DefaultValue, SettingType, Virconf};
use crate::net::RunDir;
use crate::net::tls::ServerFiles;
use crate::server::TlsService;
use std::path::PathBuf;

fn overrides() -> Overrides {
    Overrides::new(Config::new(RunDir::Chosen("/run/example".into())))
}

fn file(text: &str) -> ConfigFile {
    ConfigFile {
        path: "a.conf".into(),
        format: ConfigFormat::Libvirt,
        text: text.as_bytes().to_vec(),
    }
}

fn loaded(text: &str) -> LoadedConfig {
    let loaded = overrides().load(Some(&file(text)));
    loaded.unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn errors(text: &str) -> Vec<String> {
    let errors = overrides().load(Some(&file(text))).unwrap_err();
    errors.iter().map(ConfigError::to_string).collect()
}

#[test]
fn load_without_a_file_gives_the_defaults() {
    let loaded = overrides().load(None).unwrap();
    // The daemon listens on no network by default, but serves a TLS socket that systemd passes.
    let mut base = overrides().base;
    base.passed_tls = Some(TlsService::new(overrides().tls_files));
    assert_eq!(format!("{:?}", loaded.daemon), format!("{base:?}"));
    assert_eq!(loaded.log.level, Level::Info);
    assert_eq!(loaded.warnings(), [""; 0]);
}

#[test]
fn load_applies_settings_to_the_daemon() {
    let daemon = loaded(
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
fn polkit_opens_the_read_write_socket_unless_a_mode_is_set() {
    for (text, mode) in [
        ("", 0o700),
        ("auth_unix_rw = 'none'", 0o700),
        ("auth_unix_rw = 'polkit'", 0o777),
        (
            "unix_sock_rw_perms = '0750'; auth_unix_rw = 'polkit'",
            0o750,
        ),
    ] {
        assert_eq!(loaded(text).daemon.rw_mode, mode, "{text}");
    }
}

/// DM-301, DM-302
#[test]
fn network_sockets_are_off_by_default_and_have_libvirts_ports() {
    let daemon = loaded("").daemon;
    assert!(daemon.tcp.is_none() && daemon.tls.is_none());
    let daemon = loaded("listen_tcp = 1; auth_tcp = 'none'; listen_tls = 1").daemon;
    assert_eq!(daemon.tcp.unwrap().port, "16509");
    assert_eq!(daemon.tls.unwrap().port, "16514");
}

#[test]
fn options_override_environment_and_environment_the_file() {
    let mut overrides = overrides();
    let level = |number, origin| ("log_level", SettingValue::Integer(number), origin);
    let text = file("log_level = 4");
    let level_of = |overrides: &Overrides| overrides.load(Some(&text)).unwrap().log.level;
    assert_eq!(level_of(&overrides), Level::Error);
    overrides
        .environment
        .push(level(3, Origin::Environment("LIBVIRT_DEBUG")));
    assert_eq!(level_of(&overrides), Level::Warning);
    overrides
        .options
        .push(level(1, Origin::Option("--verbose")));
    assert_eq!(level_of(&overrides), Level::Debug);
}

#[test]
fn load_reports_all_errors() {
    let mut overrides = overrides();
    let origin = Origin::Environment("LIBVIRT_LOG_OUTPUTS");
    overrides.environment.push((
        "log_outputs",
        SettingValue::Text("1:nowhere".to_owned()),
        origin,
    ));
    let file =
        file("max_client = 1\nmax_anonymous_clients = 9; max_clients = 8\nlog_filters = \"9:x\"\n");
    let errors = overrides.load(Some(&file)).unwrap_err();
    let locations: Vec<&str> = errors.iter().map(|error| error.location.as_str()).collect();
    assert_eq!(
        locations,
        [
            "a.conf:1:1",
            "a.conf:2:25",
            "a.conf:3:15",
            "environment LIBVIRT_LOG_OUTPUTS"
        ]
    );
}

/// DM-703
/// The authentication includes the handshake, so a longer time for the handshake has no effect.
#[test]
fn handshake_timeout_above_auth_timeout_gives_a_warning() {
    let limits = |handshake: u32, auth: u32| {
        let text =
            format!("eventry_handshake_timeout = {handshake}\neventry_auth_timeout = {auth}");
        loaded(&text).warnings()
    };
    let expected = "`eventry_handshake_timeout` (61) exceeds `eventry_auth_timeout` (60), which includes the handshake: a \
                    client has 60 s for it";
    assert_eq!(limits(61, 60), [expected]);
    // Equal limits, and those that are off, have the effect that they seem to have.
    for (handshake, auth) in [(60, 60), (10, 60), (0, 60), (10, 0), (0, 0)] {
        assert_eq!(limits(handshake, auth), [""; 0]);
    }
    // The default of the handshake is no mistake of the user.
    assert_eq!(loaded("eventry_auth_timeout = 5").warnings(), [""; 0]);
}

#[test]
fn min_workers_above_max_workers_gives_a_warning() {
    assert_eq!(loaded("min_workers = 20").warnings(), [""; 0]);
    assert_eq!(
        loaded("min_workers = 9\nmax_workers = 3").warnings(),
        ["`min_workers` (9) exceeds `max_workers` (3): 3 workers are started"]
    );
}

#[test]
fn max_anonymous_clients_above_max_clients_is_rejected() {
    assert!(
        errors("max_clients = 10; max_anonymous_clients = 11")[0]
            .contains("(11) must not exceed `max_clients` (10)")
    );
    // The default is lowered to `max_clients`.
    loaded("max_clients = 10");
    loaded("max_clients = 10; max_anonymous_clients = 10");
}

#[test]
fn changed_settings_are_listed_in_table_order() {
    let old = loaded("max_clients = 30\nlog_level = 2");
    let new = loaded("max_clients = 31\nunix_sock_dir = '/y'\nlog_level = 0");
    let names: Vec<&str> = old.changed_settings(&new).map(|spec| spec.name).collect();
    assert_eq!(names, ["unix_sock_dir", "max_clients", "log_level"]);
    assert_eq!(old.changed_settings(&old).count(), 0);
}

#[test]
fn file_name_with_a_line_end_is_escaped() {
    let source = ConfigFile {
        path: "a\nlisten_tls = 1\u{1b}".into(),
        ..file("max_clients = 30")
    };
    let printed = overrides().load(Some(&source)).unwrap().render();
    assert_eq!(printed.lines().count(), setting_specs().count());
    assert!(
        printed.contains(r"max_clients = 30  # a\nlisten_tls = 1\u{1b}:1"),
        "{printed}"
    );
    let source = ConfigFile {
        text: b"x".to_vec(),
        ..source
    };
    let error = &overrides().load(Some(&source)).unwrap_err()[0];
    assert!(
        error
            .to_string()
            .starts_with(r"a\nlisten_tls = 1\u{1b}:1:2: "),
        "{error}"
    );
}

#[test]
fn value_without_virconf_notation_is_rejected() {
    let source = ConfigFile {
        format: ConfigFormat::Toml,
        ..file(
            "listen_tcp = false\nlisten_addr = \"a\\n\\\"\\\"\\\"\"\ntls_allowed_dn_list = [ \"'\\\"\" ]",
        )
    };
    let errors = overrides().load(Some(&source)).unwrap_err();
    let locations: Vec<&str> = errors.iter().map(|error| error.location.as_str()).collect();
    assert_eq!(locations, ["a.conf:2:15", "a.conf:3:23"]);
    for (error, name) in errors
        .iter()
        .zip(["`listen_addr`", "`tls_allowed_dn_list`"])
    {
        assert!(error.message.starts_with(name), "{error}");
        assert!(error.message.contains("cannot express"), "{error}");
    }
}

#[test]
fn rendered_config_shows_origins_and_reads_back() {
    let mut overrides = overrides();
    overrides.options.push((
        "eventry_prefix",
        SettingValue::Text("x".to_owned()),
        Origin::Option("--prefix"),
    ));
    let loaded = overrides
        .load(Some(&file("\nmax_clients = 30\naudit_level = 1")))
        .unwrap();
    let printed = loaded.render();
    let has = |line: &str| {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\n{printed}"
        )
    };
    has("max_clients = 30  # a.conf:2");
    has("eventry_prefix = \"x\"  # option --prefix");
    has("min_workers = 5  # default");
    has("audit_level = 1  # a.conf:3; no effect");
    has("mdns_adv = 0  # default");
    has("# listen_addr is not set: all addresses");
    assert_eq!(printed.lines().count(), setting_specs().count());
    let again = Virconf::parse(printed.as_bytes()).unwrap();
    for setting in again.settings {
        let spec = crate::config::setting_spec(&setting.name).unwrap();
        assert_eq!(loaded.settings.value(spec), Some(setting.value));
    }
}

/// Settings that other settings need to have an effect.
const BESIDE: [(&str, &str); 3] = [
    ("listen_tcp", "1"),
    ("auth_tcp", "'none'"),
    ("listen_tls", "1"),
];

/// Returns a value other than the default, in libvirt's syntax.
fn another_value(spec: &SettingSpec) -> String {
    let number = match spec.default {
        DefaultValue::Integer(number) => number,
        _ => 0,
    };
    match (spec.name, spec.value_type) {
        ("log_filters", _) => "\"1:x\"".to_owned(),
        ("log_outputs", _) => "\"1:stderr\"".to_owned(),
        (_, SettingType::Bool) => (1 - number).to_string(),
        (_, SettingType::Unsigned { .. } | SettingType::Signed) => (number + 1).to_string(),
        (_, SettingType::Text) => "\"1\"".to_owned(),
        (_, SettingType::Path) => "\"/elsewhere\"".to_owned(),
        (_, SettingType::Mode) => "\"0640\"".to_owned(),
        (_, SettingType::OneOf(choices)) => {
            let other = choices
                .iter()
                .find(|choice| DefaultValue::Text(choice) != spec.default);
            format!("\"{}\"", other.unwrap())
        }
        (_, SettingType::List) => "[ \"x\" ]".to_owned(),
    }
}

/// Every setting changes the configuration, is rejected, or gives a warning that it has no effect.
#[test]
fn every_setting_has_an_effect_or_a_warning() {
    let in_force = |text: &str| {
        let loaded = overrides().load(Some(&file(text))).ok()?;
        let in_force = format!("{:?} {:?}", loaded.daemon, loaded.log);
        Some((in_force, loaded.warnings()))
    };
    for spec in setting_specs() {
        let beside = BESIDE.iter().filter(|(name, _)| *name != spec.name);
        let beside: String = beside
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect();
        let text = format!("{} = {}\n{beside}", spec.name, another_value(spec));
        // An error is an effect.
        let Some((with, warnings)) = in_force(&text) else {
            continue;
        };
        let changes = in_force(&beside).is_none_or(|(without, _)| with != without);
        let is_named = warnings
            .iter()
            .any(|remark| remark.contains(&format!("`{}`", spec.name)));
        assert!(changes != is_named, "{text}");
    }
}

/// Parses pairs of the form "CERTIFICATE KEY".
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
fn keys_and_certificates_are_set_together() {
    let files = |text: &str| {
        let loaded = overrides().load(Some(&file(&format!("listen_tls = 1; {text}"))));
        loaded.map(|loaded| loaded.daemon.tls.unwrap().settings.files)
    };
    let defaults = files("").unwrap();
    assert_eq!(defaults, overrides().tls_files);
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

#[test]
fn empty_path_is_an_error_only_where_it_is_used() {
    let refused = |text: &str, part: &str| {
        let errors = errors(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].contains(part), "{text}: {errors:?}");
    };
    let unused = "ca_file = ''; cert_file = ''; key_file = ''; crl_file = ''; eventry_sasl_password_file = ''";
    let daemon = loaded(unused).daemon;
    assert_eq!(
        daemon.sasl.password_file,
        overrides().base.sasl.password_file
    );
    for name in ["ca_file", "cert_file", "key_file"] {
        refused(
            &format!("listen_tls = 1; {name} = ''"),
            &format!("`{name}` is empty"),
        );
    }
    for name in ["auth_unix_rw", "auth_unix_ro"] {
        refused(
            &format!("eventry_sasl_password_file = ''; {name} = 'sasl'"),
            "_file` is empty",
        );
    }
    let tls = "listen_tls = 1; eventry_sasl_password_file = ''; auth_tls = 'sasl'";
    refused(tls, "`eventry_sasl_password_file` is empty");
    refused("unix_sock_dir = ''", "`unix_sock_dir` is empty");
    refused("eventry_pid_file = ''", "`eventry_pid_file` is empty");
    // As with libvirtd, there is no revocation list then, not even the default one.
    let files = |text: &str| loaded(text).daemon.tls.unwrap().settings.files;
    assert_eq!(files("listen_tls = 1; crl_file = ''").crl, None);
    assert_eq!(files("listen_tls = 1").crl, overrides().tls_files.crl);
}

#[test]
fn cause_is_the_first_setting_that_is_set() {
    let mut overrides = overrides();
    let option = Origin::Option("--pid-file");
    let path = SettingValue::Text("/pid".to_owned());
    overrides.options.push(("eventry_pid_file", path, option));
    let text = file("auth_unix_rw = 'none'\nauth_unix_ro = 'sasl'; tcp_port = '7'");
    let loaded = overrides.load(Some(&text)).unwrap();
    for (settings, location) in [
        (&["listen_addr", "tcp_port"][..], Some("a.conf:2:35")),
        (&["auth_unix_rw", "auth_unix_ro"], Some("a.conf:2:16")),
        (&["auth_unix_rw"], None),
        (&["eventry_pid_file", "tcp_port"], Some("option --pid-file")),
        (&["listen_addr"], None),
        (&[], None),
    ] {
        assert_eq!(
            loaded.cause(settings).map(Origin::location).as_deref(),
            location,
            "{settings:?}"
        );
    }
}

#[test]
fn incomplete_tls_files_are_named_with_what_belongs_together() {
    let all_three = "`ca_file`, `cert_file` and `key_file` must be set together";
    let both = "`cert_files` and `key_files` must be set together";
    let one_pair = "set only one of the two pairs";
    for (text, expected) in [
        ("ca_file = '/a'", all_three),
        ("cert_file = '/c'; key_file = '/k'", all_three),
        ("ca_file = '/a'; key_file = '/k'", all_three),
        ("cert_files = [ '/c' ]", both),
        ("ca_file = '/a'; key_files = [ '/k' ]", both),
        (
            "cert_files = [ '/c' ]; key_files = [ '/k' ]; key_file = '/k'",
            one_pair,
        ),
    ] {
        let errors = errors(&format!("listen_tls = 1; {text}"));
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].contains(expected), "{text}: {errors:?}");
    }
}

#[test]
fn error_about_a_default_is_located_at_a_line_of_the_file() {
    let add = "add the line `auth_tcp = \"none\"` if the network is trusted";
    for (text, location, part) in [
        ("\nlisten_tcp = 1", "a.conf:2:14: ", add),
        (
            "listen_tls = 1\nca_file = '/a'",
            "a.conf:2:11: ",
            "set all three or none",
        ),
        (
            "listen_tls = 1\ncert_file = '/c'",
            "a.conf:2:13: ",
            "set all three or none",
        ),
        (
            "listen_tls = 1\ncert_files = [ '/c' ]",
            "a.conf:2:14: ",
            "set both or none",
        ),
        (
            "listen_tls = 1\nkey_files = [ '/k' ]; cert_files = []; cert_file = '/c'",
            "a.conf:2:13: ",
            "set only one of the two pairs",
        ),
    ] {
        let errors = errors(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].starts_with(location), "{text}: {errors:?}");
        assert!(errors[0].contains(part), "{text}: {errors:?}");
    }
}

#[test]
fn rejected_value_causes_no_further_error() {
    for text in [
        "listen_tls = 1; ca_file = 'a'; cert_file = '/c'; key_file = '/k'",
        "listen_tls = 1; ca_file = '/a'; cert_file = '/c'; key_fil = '/k'",
        "listen_tls = 1; cert_files = '/c'; key_files = [ '/k' ]",
        "max_clients = -1; max_anonymous_clients = 6000",
        "listen_tcp = 1; auth_tcp = 'None'",
        // The second line of a setting is ignored, even if the first one is invalid.
        "max_clients = 0; max_clients = 7; max_anonymous_clients = 8",
        "listen_tcp = 5; listen_tcp = 1",
        "max_clients = 0x10",
        "log_level = 5x",
    ] {
        let errors = errors(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    }
}

#[test]
fn rejected_option_causes_no_further_error() {
    let mut overrides = overrides();
    let origin = Origin::Option("--example");
    let zero = SettingValue::Integer(0);
    overrides.options.push(("max_clients", zero, origin));
    let file = file("max_anonymous_clients = 6000");
    let errors = overrides.load(Some(&file)).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
}
