//! Any bytes as a configuration file, in either syntax: nothing panics; what libvirt's syntax gives is written so
//! that it reads the same again; what is in force is printed so that it means the same again; and every fault has
//! a place in the text and one line of it.

#![no_main]

use std::path::PathBuf;

use eventryd::config::{Format, Given, Source, Value, Virconf, key};
use eventryd::net::RunDir;
use eventryd::server::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = Virconf::parse(data) {
        let written = file.to_string();
        let again = Virconf::parse(written.as_bytes()).expect("what was written can be read");
        assert_eq!(content(again), content(file), "{written}");
    }
    for format in [Format::Libvirt, Format::Toml] {
        let source = Source {
            path: PathBuf::from("file"),
            format,
            text: data.to_vec(),
        };
        match given().with_file(Some(&source)) {
            Ok(effective) => {
                let printed = effective.print();
                let again =
                    Virconf::parse(printed.as_bytes()).expect("what is printed can be read");
                for setting in again.settings {
                    let key = key(&setting.name).expect("a setting of the table");
                    let value = effective.settings.value(key).map(as_number);
                    assert_eq!(value, Some(setting.value), "{printed}");
                }
            }
            Err(faults) => {
                assert!(!faults.is_empty());
                for fault in faults {
                    let shown = fault.to_string();
                    assert!(
                        !shown.contains('\u{1b}') && !shown.contains('\0'),
                        "{shown:?}"
                    );
                    let lines = fault.excerpt.map_or(0, |excerpt| excerpt.lines().count());
                    assert!(lines == 0 || lines == 2, "{shown}");
                }
            }
        }
    }
});

fn given() -> Given {
    Given::new(Config::new(RunDir::Chosen(PathBuf::from("/run/eventry"))))
}

fn content(file: Virconf) -> Vec<(String, Value)> {
    let settings = file.settings.into_iter();
    settings
        .map(|setting| (setting.name, setting.value))
        .collect()
}

/// A boolean as libvirt's syntax has it.
fn as_number(value: Value) -> Value {
    match value {
        Value::Boolean(is) => Value::Integer(is.into()),
        other => other,
    }
}
