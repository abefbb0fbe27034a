//! Arbitrary bytes as a configuration file, in both syntaxes: no panic; a file in libvirt's syntax is equal after writing
//! and reading it; a loaded configuration is equal after printing and reading it; and every error has a location and an
//! excerpt of one line.

#![no_main]

use std::path::PathBuf;

use eventryd::config::{ConfigFile, ConfigFormat, Overrides, SettingValue, Virconf};
use eventryd::net::RunDir;
use eventryd::server::Config;
use libfuzzer_sys::fuzz_target;
use test_support::config::in_force;

fuzz_target!(|data: &[u8]| {
    let (_, errors) = Virconf::parse_all(data);
    assert_eq!(Virconf::parse(data).err(), errors.into_iter().next());
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
                let source = ConfigFile {
                    path: PathBuf::from("printed"),
                    format: ConfigFormat::Libvirt,
                    text: printed.clone().into_bytes(),
                };
                let again = overrides().load(Some(&source));
                let again = again.unwrap_or_else(|errors| panic!("{errors:?}\n{printed}"));
                assert_eq!(in_force(&again), in_force(&loaded), "{printed}");
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
