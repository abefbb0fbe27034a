//! The output of `--print-config`, read again.

use eventryd::config::{
    ConfigError, ConfigFile, ConfigFormat, LoadedConfig, Overrides, SettingSpec, SettingType,
    SettingValue, setting_specs,
};
use eventryd::net::RunDir;
use eventryd::server::Config;
use proptest::prelude::*;
use proptest::sample::select;
use test_support::config::in_force;
use test_support::daemon::{eventryd, run_to_end};

fn load(format: ConfigFormat, text: &str) -> Result<LoadedConfig, Vec<ConfigError>> {
    let overrides = Overrides::new(Config::new(RunDir::Chosen("/run/example".into())));
    overrides.load(Some(&ConfigFile {
        path: "a.conf".into(),
        format,
        text: text.as_bytes().to_vec(),
    }))
}

/// A valid value of a setting, or one that is nearly valid.
fn value(spec: &SettingSpec) -> BoxedStrategy<SettingValue> {
    let text = |choices: Vec<&'static str>| {
        select(choices)
            .prop_map(|text| SettingValue::Text(text.to_owned()))
            .boxed()
    };
    match (spec.name, spec.value_type) {
        ("log_filters", _) => text(vec!["", "1:server 3:session", "4:*"]),
        ("log_outputs", _) => text(vec![
            "",
            "1:stderr",
            "2:file:/x/y 3:journald",
            "4:syslog:name",
        ]),
        ("tls_priority", _) => text(vec!["NORMAL", "@LIBVIRT,SYSTEM", "NORMAL:!VERS-TLS1.2", ""]),
        (_, SettingType::Bool) => (0..=1_i64).prop_map(SettingValue::Integer).boxed(),
        (_, SettingType::Unsigned { min, max }) => {
            let (min, max) = (i64::from(min), i64::from(max));
            prop_oneof![min..=max, min..=max.min(min + 40)]
                .prop_map(SettingValue::Integer)
                .boxed()
        }
        (_, SettingType::Signed) => any::<i32>()
            .prop_map(|number| SettingValue::Integer(number.into()))
            .boxed(),
        (_, SettingType::Text) => text(vec![
            "16509",
            "host",
            "it's",
            "a \"b\" c",
            "# no",
            "two\nlines",
            "é",
        ]),
        (_, SettingType::Path) => text(vec!["/a", "/a b/c", "/it's", "/", ""]),
        (_, SettingType::Mode) => text(vec!["0770", "777", "0", "0000700"]),
        (_, SettingType::OneOf(choices)) => text(choices.to_vec()),
        (_, SettingType::List) => {
            let entry = select(vec!["x", "", "CN=*,O=Red Hat\\, Inc", "it's", "/f"]);
            let entry = entry.prop_map(|text| SettingValue::Text(text.to_owned()));
            proptest::collection::vec(entry, 0..4)
                .prop_map(SettingValue::List)
                .boxed()
        }
    }
}

/// Some settings of the table with their values.
fn settings() -> impl Strategy<Value = Vec<(&'static str, SettingValue)>> {
    let specs: Vec<&'static SettingSpec> = setting_specs().collect();
    let one = select(specs).prop_flat_map(|spec| value(spec).prop_map(|value| (spec.name, value)));
    proptest::collection::vec(one, 0..12)
}

fn assert_reads_back(loaded: &LoadedConfig) {
    let printed = loaded.render();
    let again = load(ConfigFormat::Libvirt, &printed);
    let again = again.unwrap_or_else(|errors| panic!("{errors:?}\n{printed}"));
    assert_eq!(in_force(&again), in_force(loaded));
    assert_eq!(again.render().lines().count(), printed.lines().count());
}

proptest! {
    #[test]
    fn printed_configuration_reads_back_the_same(settings in settings()) {
        let text: String = settings.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        // A combination that is invalid is not printed.
        if let Ok(loaded) = load(ConfigFormat::Libvirt, &text) {
            assert_reads_back(&loaded);
        }
    }
}

#[test]
fn defaults_and_each_setting_alone_read_back() {
    assert_reads_back(&load(ConfigFormat::Libvirt, "").unwrap());
    // The default of `max_anonymous_clients` exceeds this limit.
    assert_reads_back(&load(ConfigFormat::Libvirt, "max_clients = 7").unwrap());
    let toml = "listen_tls = true\ncrl_file = ''\nmax_clients = 1\nunix_sock_group = \"it's\"";
    assert_reads_back(&load(ConfigFormat::Toml, toml).unwrap());
}

/// Through the program: what it prints, it accepts and prints again with the file as the origin.
#[test]
fn print_config_of_its_own_output_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("printed.conf");
    let printed = eventryd().arg("--print-config").output().unwrap();
    std::fs::write(&path, &printed.stdout).unwrap();
    let mut command = eventryd();
    command.arg("--print-config").arg("-f").arg(&path);
    let ended = run_to_end(
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped()),
    );
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
}
