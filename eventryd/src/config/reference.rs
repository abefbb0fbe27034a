//! Documentation and sample files, generated from the table of settings.

use super::{
    ConfigFormat, DefaultValue, ReloadEffect, SETTING_GROUPS, SettingSpec, SettingType,
    SettingValue,
};
use std::fmt::Write;

/// Returns the table of all settings in Markdown, for `docs/configuration.md`.
#[must_use]
pub fn settings_table() -> String {
    let mut text = String::new();
    for group in SETTING_GROUPS {
        let _ = writeln!(text, "### {}\n", group.title);
        text.push_str(
            "| setting | type | default | meaning | a change takes effect |\n|---|---|---|---|---|\n",
        );
        for spec in group.specs {
            let default = match (spec.default_value(), spec.default) {
                (Some(value), _) => format!("`{value}`"),
                (None, DefaultValue::Unset(description)) => description.to_owned(),
                (None, _) => unreachable!("a default is a value"),
            };
            let effect = match spec.reload_effect {
                ReloadEffect::Immediate => "on SIGHUP".to_owned(),
                ReloadEffect::NewConnections => "on SIGHUP, for new connections".to_owned(),
                ReloadEffect::Restart => "after a restart".to_owned(),
                ReloadEffect::Ignored(reason) => format!("never: {reason}"),
            };
            let (name, value_type, description) =
                (spec.name, type_name(spec.value_type), spec.description);
            let _ = writeln!(
                text,
                "| `{name}` | {value_type} | {default} | {description} | {effect} |"
            );
        }
        text.push('\n');
    }
    text
}

/// Returns a sample file with every setting commented out, with its default or, if it has none, an
/// example.
#[must_use]
pub fn sample_file(format: ConfigFormat) -> String {
    let name = match format {
        ConfigFormat::Libvirt => {
            "eventryd.conf: the settings of eventryd, in the syntax of libvirtd.conf"
        }
        ConfigFormat::Toml => "eventryd.toml: the settings of eventryd",
    };
    let mut text = format!(
        "# {name}.\n# Every setting is commented out, with its default value or, if it has none, an example.\n\
         # `eventryd --check-config --config FILE` reports all errors in a file.\n"
    );
    for group in SETTING_GROUPS {
        let _ = writeln!(text, "\n## {}", group.title);
        for spec in group.specs {
            let _ = write!(text, "\n# {}{}", spec.description, sample_note(spec));
            let _ = writeln!(text, "\n#{} = {}", spec.name, sample_value(spec, format));
        }
    }
    text
}

/// Returns the value of a setting in a sample file.
fn sample_value(spec: &SettingSpec, format: ConfigFormat) -> String {
    let value = match (spec.example, spec.default_value()) {
        ("", Some(value)) => value,
        (example, _) => return example.to_owned(),
    };
    match (format, spec.value_type, &value) {
        (ConfigFormat::Toml, SettingType::Bool, SettingValue::Integer(number)) => {
            (*number == 1).to_string()
        }
        _ => value.to_string(),
    }
}

fn sample_note(spec: &SettingSpec) -> String {
    match (spec.reload_effect, spec.default) {
        (ReloadEffect::Ignored(reason), _) => format!("\n# No effect: {reason}"),
        (_, DefaultValue::Unset(description)) => format!("\n# Default: {description}"),
        _ => String::new(),
    }
}

fn type_name(value_type: SettingType) -> String {
    match value_type {
        SettingType::Bool => "0 or 1".to_owned(),
        SettingType::Unsigned { min, max: u32::MAX } => format!("number, at least {min}"),
        SettingType::Unsigned { min, max } => format!("number, {min} to {max}"),
        SettingType::Signed => "number".to_owned(),
        SettingType::Text => "string".to_owned(),
        SettingType::Path => "path".to_owned(),
        SettingType::Mode => "string, octal".to_owned(),
        SettingType::OneOf(choices) => choices.join(", "),
        SettingType::List => "list of strings".to_owned(),
    }
}
