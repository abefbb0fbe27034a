//! What users read about the settings, made of the table.

use super::{Effect, Format, GROUPS, Key, Kind, Preset, Value};
use std::fmt::Write;

/// The table of all settings in Markdown, as it stands in `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = writeln!(text, "### {}\n", group.title);
        text.push_str(
            "| key | type | default | meaning | a change takes effect |\n|---|---|---|---|---|\n",
        );
        for key in group.keys {
            let preset = match (key.preset_value(), key.preset) {
                (Some(value), _) => format!("`{value}`"),
                (None, Preset::Unset(meaning)) => meaning.to_owned(),
                (None, _) => unreachable!("a default is a value"),
            };
            let effect = match key.effect {
                Effect::Reload => "on SIGHUP".to_owned(),
                Effect::NewConnections => "on SIGHUP, for new connections".to_owned(),
                Effect::Restart => "at a restart".to_owned(),
                Effect::None(reason) => format!("never: {reason}"),
            };
            let (name, kind, meaning) = (key.name, kind(key.kind), key.meaning);
            let _ = writeln!(
                text,
                "| `{name}` | {kind} | {preset} | {meaning} | {effect} |"
            );
        }
        text.push('\n');
    }
    text
}

/// A file with every setting in a comment: with its default, or where there is none with an example.
#[must_use]
pub fn sample(format: Format) -> String {
    let name = match format {
        Format::Libvirt => {
            "eventryd.conf: the settings of eventryd, in the syntax of libvirtd.conf"
        }
        Format::Toml => "eventryd.toml: the settings of eventryd",
    };
    let mut text = format!(
        "# {name}.\n# What begins with a hash is a comment; the values are the defaults, or examples where there is none.\n\
         # `eventryd --check-config --config FILE` says what is wrong with a file.\n"
    );
    for group in GROUPS {
        let _ = writeln!(text, "\n## {}", group.title);
        for key in group.keys {
            let _ = write!(text, "\n# {}{}", key.meaning, remark(key));
            let _ = writeln!(text, "\n#{} = {}", key.name, shown(key, format));
        }
    }
    text
}

/// How a setting is written in a sample.
fn shown(key: &Key, format: Format) -> String {
    let value = match (key.example, key.preset_value()) {
        ("", Some(value)) => value,
        (example, _) => return example.to_owned(),
    };
    match (format, key.kind, &value) {
        (Format::Toml, Kind::Bool, Value::Integer(number)) => (*number == 1).to_string(),
        _ => value.to_string(),
    }
}

fn remark(key: &Key) -> String {
    match (key.effect, key.preset) {
        (Effect::None(reason), _) => format!("\n# Of no effect here: {reason}"),
        (_, Preset::Unset(meaning)) => format!("\n# Not set: {meaning}"),
        _ => String::new(),
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Bool => "0 or 1".to_owned(),
        Kind::Unsigned { min, max: u32::MAX } => format!("number, at least {min}"),
        Kind::Unsigned { min, max } => format!("number, {min} to {max}"),
        Kind::Signed => "number".to_owned(),
        Kind::Text => "string".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Mode => "string, octal".to_owned(),
        Kind::OneOf(choices) => choices.join(", "),
        Kind::List => "list of strings".to_owned(),
    }
}
