//! Settings that were read, each of its type and with where it came from.

use super::keys::{Effect, Key, Kind, key, nearest_key};
use super::text::{Position, Problem, Setting, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a file, at this place.
    File(Arc<Path>, Position),
    /// From an option on the command line.
    Option(&'static str),
    /// From a variable of the environment.
    Environment(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, at) => write!(f, "{}:{}", path.display(), at.line),
            Origin::Option(name) => write!(f, "option {name}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// The settings that were given. Every one is in the table of keys and of its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    given: BTreeMap<&'static str, (Value, Origin)>,
}

impl Settings {
    /// Takes what stands in the file `path`, and what is wrong with it. Of several settings of one name the
    /// first is in force.
    #[must_use]
    pub fn from_file(path: &Path, read: Vec<Setting>) -> (Settings, Vec<Problem>) {
        let path: Arc<Path> = path.into();
        let mut settings = Settings::default();
        let mut problems = Vec::new();
        for setting in read {
            let Some(key) = key(&setting.name) else {
                let message = unknown(&setting.name);
                let at = setting.name_at;
                problems.push(Problem { at, message });
                continue;
            };
            if let Err(message) = check(key, &setting.value) {
                let at = setting.value_at;
                problems.push(Problem { at, message });
                continue;
            }
            let origin = Origin::File(Arc::clone(&path), setting.value_at);
            let first = settings.given.entry(key.name);
            first.or_insert((setting.value, origin));
        }
        (settings, problems)
    }

    /// Sets `name` to what an option or the environment says, which has the last word.
    ///
    /// # Errors
    ///
    /// What is wrong with the value.
    ///
    /// # Panics
    ///
    /// If there is no such setting.
    pub fn set(&mut self, name: &str, value: Value, origin: Origin) -> Result<(), String> {
        let key = key(name).expect("only settings of the table are set");
        check(key, &value)?;
        self.given.insert(key.name, (value, origin));
        Ok(())
    }

    /// The value of a setting, given or not.
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<Value> {
        let given = self.given.get(key.name).map(|(value, _)| value.clone());
        given.or_else(|| key.preset_value())
    }

    /// Where the value of `name` came from, if it was given.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.given.get(name).map(|(_, origin)| origin)
    }

    /// Whether `name` was given.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The settings that were given and have no effect here, each with the reason.
    pub fn without_effect(&self) -> impl Iterator<Item = (&'static Key, &Origin, &'static str)> {
        self.given.iter().filter_map(|(name, (_, origin))| {
            let key = key(name)?;
            match key.effect {
                Effect::None(reason) => Some((key, origin, reason)),
                _ => None,
            }
        })
    }

    /// The number that `name` is, as far as it is given or has a default.
    pub(super) fn number(&self, name: &str) -> i64 {
        match self.value_of(name) {
            Some(Value::Integer(number)) => number,
            Some(Value::Boolean(is)) => i64::from(is),
            other => unreachable!("{name} is no number: {other:?}"),
        }
    }

    /// The same for a setting that is not negative.
    pub(super) fn unsigned(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).expect("checked when it was read")
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.number(name) == 1
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.value_of(name) {
            Some(Value::Text(text)) => Some(text),
            None => None,
            other => unreachable!("{name} is no string: {other:?}"),
        }
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let texts = |values: Vec<Value>| {
            let text = |value| match value {
                Value::Text(text) => text,
                other => unreachable!("{name} is no list of strings: {other:?}"),
            };
            values.into_iter().map(text).collect()
        };
        match self.value_of(name) {
            Some(Value::List(values)) => Some(texts(values)),
            None => None,
            other => unreachable!("{name} is no list: {other:?}"),
        }
    }

    pub(super) fn mode(&self, name: &str) -> Option<u32> {
        let text = self.text(name)?;
        Some(u32::from_str_radix(&text, 8).expect("checked when it was read"))
    }

    fn value_of(&self, name: &str) -> Option<Value> {
        self.value(key(name).unwrap_or_else(|| unreachable!("{name} is in the table")))
    }
}

fn unknown(name: &str) -> String {
    match nearest_key(name) {
        Some(key) => format!("there is no setting `{name}`; is it `{}`?", key.name),
        None => format!("there is no setting `{name}`; `eventryd --print-sample` lists them"),
    }
}

/// Whether a value is of the type of its setting; a message that says which type that is if not.
fn check(key: &Key, value: &Value) -> Result<(), String> {
    let name = key.name;
    let expected = |what: &str| Err(format!("`{name}` must be {what}, not {}", value.kind()));
    // Else `--print-config` could not tell it.
    if !value.has_notation() {
        return Err(format!(
            "`{name}` has a string that the syntax of libvirtd.conf cannot write: a line end or quotes of both kinds, and beside them `\"\"\"` or a `\"` at its end"
        ));
    }
    match (key.kind, value) {
        (Kind::Bool, Value::Boolean(_) | Value::Integer(0 | 1)) => Ok(()),
        (Kind::Bool, Value::Integer(_)) => Err(format!("`{name}` must be 0 or 1")),
        (Kind::Bool, _) => expected("0 or 1"),
        (Kind::Unsigned { min, max }, Value::Integer(number)) => {
            if (i64::from(min)..=i64::from(max)).contains(number) {
                return Ok(());
            }
            let bounds = if max == u32::MAX {
                format!("at least {min}")
            } else {
                format!("from {min} to {max}")
            };
            Err(format!("`{name}` must be {bounds}, not {number}"))
        }
        (Kind::Unsigned { .. }, _) => expected("a number"),
        (Kind::Signed, Value::Integer(number)) => i32::try_from(*number)
            .map(|_| ())
            .map_err(|_| format!("`{name}` must be from {} to {}", i32::MIN, i32::MAX)),
        (Kind::Signed, _) => expected("a number"),
        (Kind::List, Value::List(values)) => {
            let other = values.iter().find(|value| !matches!(value, Value::Text(_)));
            other.map_or(Ok(()), |other| {
                let kind = other.kind();
                Err(format!(
                    "`{name}` must be a list of strings; {kind} is in it"
                ))
            })
        }
        (Kind::List, _) => expected("a list of strings, in [ ]"),
        (_, Value::Text(text)) => check_text(key, text),
        _ => expected("a string, in quotes"),
    }
}

fn check_text(key: &Key, text: &str) -> Result<(), String> {
    let name = key.name;
    match key.kind {
        _ if text.contains('\0') => Err(format!("`{name}` has a NUL in it")),
        Kind::Path if !text.starts_with('/') => Err(format!(
            "`{name}` must be a path from the root, not {text:?}"
        )),
        Kind::Mode => match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(()),
            _ => Err(format!(
                "`{name}` must be a mode in octal digits such as \"0770\", not {text:?}"
            )),
        },
        Kind::OneOf(choices) if !choices.contains(&text) => Err(format!(
            "`{name}` must be one of {}, not {text:?}",
            choices.map_quoted()
        )),
        _ => Ok(()),
    }
}

/// Strings as a reader expects them in a sentence.
trait Quoted {
    fn map_quoted(&self) -> String;
}

impl Quoted for [&str] {
    fn map_quoted(&self) -> String {
        let quoted: Vec<String> = self.iter().map(|choice| format!("{choice:?}")).collect();
        quoted.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Virconf;

    fn read(text: &str) -> (Settings, Vec<String>) {
        let parsed = Virconf::parse(text.as_bytes()).unwrap();
        let (settings, problems) = Settings::from_file(Path::new("a.conf"), parsed.settings);
        let said = problems
            .iter()
            .map(|problem| format!("{} {}", problem.at, problem.message));
        (settings, said.collect())
    }

    #[test]
    fn unknown_setting_reports_position_and_nearest_name() {
        let (_, said) = read("max_clients = 1\n  max_client = 2\nqwertz = 3");
        assert_eq!(
            said,
            [
                "2:3 there is no setting `max_client`; is it `max_clients`?",
                "3:1 there is no setting `qwertz`; `eventryd --print-sample` lists them",
            ]
        );
    }

    #[test]
    fn of_several_settings_of_one_name_the_first_is_in_force() {
        let (settings, said) = read("max_clients = 7; max_clients = 8");
        assert_eq!((settings.unsigned("max_clients"), said.len()), (7, 0));
    }

    #[test]
    fn types_are_strict() {
        let cases = [
            ("listen_tcp = 2", "must be 0 or 1"),
            ("listen_tcp = -1", "must be 0 or 1"),
            ("listen_tcp = \"1\"", "must be 0 or 1, not a string"),
            ("max_clients = \"5\"", "a number, not a string"),
            ("max_clients = 0", "at least 1, not 0"),
            ("max_clients = -1", "at least 1, not -1"),
            (
                "max_queued_clients = 4294967296",
                "must be at least 0, not 4294967296",
            ),
            ("max_client_requests = 0", "at least 1"),
            ("max_workers = 0", "at least 1"),
            ("tcp_min_ssf = 56", "at least 112"),
            ("log_level = 5", "from 0 to 4"),
            ("keepalive_interval = 2147483648", "from -2147483648 to"),
            ("tcp_port = 16509", "a string, in quotes, not a number"),
            (
                "tls_allowed_dn_list = \"x\"",
                "a list of strings, in [ ], not a string",
            ),
            ("tls_allowed_dn_list = [ \"x\", 1 ]", "a number is in it"),
            ("unix_sock_ro_perms = \"0888\"", "octal"),
            ("unix_sock_ro_perms = \"1777\"", "octal"),
            ("unix_sock_ro_perms = \"+77\"", "octal"),
            ("unix_sock_ro_perms = \"\"", "octal"),
            (
                "auth_tls = \"None\"",
                "one of \"none\", \"sasl\", \"polkit\", not \"None\"",
            ),
            ("host_uuid_source = \"dmi\"", "\"machine-id\""),
            ("unix_sock_dir = \"run\"", "a path from the root"),
            ("eventry_idle_timeout = 2147484", "from 0 to 2147483"),
        ];
        for (text, expected) in cases {
            let (_, said) = read(text);
            assert_eq!(said.len(), 1, "{text}: {said:?}");
            assert!(said[0].contains(expected), "{text}: {said:?}");
        }
    }

    #[test]
    fn an_option_has_the_last_word_and_says_so() {
        let (mut settings, _) = read("max_clients = 7");
        assert_eq!(
            settings.origin("max_clients").unwrap().to_string(),
            "a.conf:1"
        );
        let origin = Origin::Option("--example");
        settings
            .set("max_clients", Value::Integer(9), origin.clone())
            .unwrap();
        assert_eq!(settings.unsigned("max_clients"), 9);
        assert_eq!(settings.origin("max_clients"), Some(&origin));
        assert!(
            settings
                .set("max_clients", Value::Integer(0), origin)
                .is_err()
        );
    }

    #[test]
    fn settings_without_effect_are_named_with_the_reason() {
        let (settings, _) = read("audit_level = 2\nmax_clients = 5\nmdns_adv = 1\n");
        let named: Vec<_> = settings
            .without_effect()
            .map(|(key, at, _)| (key.name, at.to_string()))
            .collect();
        assert_eq!(
            named,
            [
                ("audit_level", "a.conf:1".to_owned()),
                ("mdns_adv", "a.conf:3".to_owned())
            ]
        );
    }

    #[test]
    fn every_default_is_of_its_type() {
        for key in crate::config::all_keys() {
            let Some(value) = key.preset_value() else {
                continue;
            };
            // Libvirt's default is below the least that may be set.
            if key.name != "tcp_min_ssf" {
                assert_eq!(check(key, &value), Ok(()));
            }
        }
    }
}
