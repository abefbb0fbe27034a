//! Arbitrary bytes as a configuration file, in both syntaxes: no panic; a file in libvirt's syntax is equal after writing
//! and reading it; a loaded configuration is equal after printing and reading it; and every error has a location and an
//! excerpt of one line.

#![no_main]

use std::path::PathBuf;

use eventryd::config::{ConfigFile, ConfigFormat, Overrides, SettingValue, Virconf, setting_spec};
use eventryd::net::RunDir;
use eventryd::server::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = Virconf::parse(data) {
        let written = file.to_string();
        let again = Virconf::parse(written.as_bytes()).expect("what was written can be read");
        assert_eq!(content(again), content(file), "{written}");
    }
    for format in [ConfigFormat::Libvirt, ConfigFormat::Toml] {
        let source = ConfigFile {
            path: PathBuf::from("file"),
            format,
            text: data.to_vec(),
        };
        match overrides().load(Some(&source)) {
            Ok(loaded) => {
                let printed = loaded.render();
                let again =
                    Virconf::parse(printed.as_bytes()).expect("what is printed can be read");
                for setting in again.settings {
                    let spec = setting_spec(&setting.name).expect("a setting of the table");
                    let value = loaded.settings.value(spec).map(as_number);
                    assert_eq!(value, Some(setting.value), "{printed}");
                }
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                for error in errors {
                    let shown = error.to_string();
                    assert!(
                        !shown.contains('\u{1b}') && !shown.contains('\0'),
                        "{shown:?}"
                    );
                    let lines = error.excerpt.map_or(0, |excerpt| excerpt.lines().count());
                    assert!(lines == 0 || lines == 2, "{shown}");
                }
            }
        }
    }
});

fn overrides() -> Overrides {
    Overrides::new(Config::new(RunDir::Chosen(PathBuf::from("/run/eventry"))))
}

fn content(file: Virconf) -> Vec<(String, SettingValue)> {
    let settings = file.settings.into_iter();
    settings
        .map(|setting| (setting.name, setting.value))
        .collect()
}

/// Converts a boolean to an integer, as in libvirt's syntax.
fn as_number(value: SettingValue) -> SettingValue {
    match value {
        SettingValue::Boolean(is) => SettingValue::Integer(is.into()),
        other => other,
    }
}
