//! Explicit settings with their values and origins.

use super::spec::{ReloadEffect, SettingSpec, SettingType, nearest_spec, setting_spec};
use super::text::{ConfigFormat, ParseError, Position, Setting, SettingValue};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Configuration file, with the position of the value.
    File(Arc<Path>, Position),
    /// Command-line option.
    Option(&'static str),
    /// Environment variable.
    Environment(&'static str),
}

impl Origin {
    /// Returns the location with the column: `file:line:column`, an option or an environment variable.
    #[must_use]
    pub fn location(&self) -> String {
        match self {
            Origin::File(path, position) => format!("{}:{position}", path.display()),
            other => other.to_string(),
        }
    }
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

/// Reason why an unknown setting has no effect.
const UNKNOWN: &str = "eventryd does not have this setting; remove the line";

/// Explicit settings. Each one is in the table and has a valid value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<&'static str, (SettingValue, Origin)>,
    /// Settings of which a value was rejected.
    rejected: BTreeSet<&'static str>,
    /// Lines of the file without effect: name, origin and reason.
    unused: Vec<(String, Origin, String)>,
}

impl Settings {
    /// Checks the settings of the file `path`. Returns the valid ones and an error for each other
    /// one.
    ///
    /// The first of several settings with the same name applies, as in libvirt. An unknown setting
    /// is an error in TOML. libvirtd ignores it, and its files have settings of other daemons and
    /// releases: in libvirt's syntax it is an error only if it may be meant for eventryd.
    #[must_use]
    pub fn from_file(
        path: &Path,
        format: ConfigFormat,
        read: Vec<Setting>,
    ) -> (Settings, Vec<ParseError>) {
        let path: Arc<Path> = path.into();
        let mut settings = Settings::default();
        let mut errors = Vec::new();
        let mut first_lines: BTreeMap<&str, u32> = BTreeMap::new();
        for setting in read {
            let Some(spec) = setting_spec(&setting.name) else {
                let position = setting.name_position;
                match unknown_setting(&setting.name, format) {
                    Some(message) => {
                        errors.push(ParseError { position, message });
                        let meant = nearest_spec(&setting.name).map(|spec| spec.name);
                        settings.rejected.extend(meant);
                    }
                    None => {
                        let origin = Origin::File(Arc::clone(&path), position);
                        let reason = UNKNOWN.to_owned();
                        settings.unused.push((setting.name, origin, reason));
                    }
                }
                continue;
            };
            let origin = Origin::File(Arc::clone(&path), setting.value_position);
            // A line with an invalid value applies too.
            if let Some(line) = first_lines.get(spec.name) {
                let reason = format!(
                    "line {line} sets it already; the first line applies, as in libvirt; remove one of them"
                );
                settings.unused.push((setting.name, origin, reason));
                continue;
            }
            first_lines.insert(spec.name, setting.value_position.line);
            if let Err(message) = check_value(spec, &setting.value) {
                let position = setting.value_position;
                errors.push(ParseError { position, message });
                settings.rejected.insert(spec.name);
                continue;
            }
            settings.values.insert(spec.name, (setting.value, origin));
        }
        (settings, errors)
    }

    /// Sets `name` to `value`, and replaces an earlier value.
    ///
    /// # Errors
    ///
    /// A message if the value is not valid for the setting.
    ///
    /// # Panics
    ///
    /// If `name` is not in the table.
    pub fn set(&mut self, name: &str, value: SettingValue, origin: Origin) -> Result<(), String> {
        let spec = setting_spec(name).expect("only settings of the table are set");
        if let Err(message) = check_value(spec, &value) {
            self.rejected.insert(spec.name);
            return Err(message);
        }
        self.values.insert(spec.name, (value, origin));
        Ok(())
    }

    /// Returns the explicit value of a setting or its default.
    #[must_use]
    pub fn value(&self, spec: &SettingSpec) -> Option<SettingValue> {
        let explicit = self.values.get(spec.name).map(|(value, _)| value.clone());
        explicit.or_else(|| spec.default_value())
    }

    /// Returns the origin of the value of `name`, or `None` if it is not set.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.values.get(name).map(|(_, origin)| origin)
    }

    /// Returns `true` if `name` is set, even to its default value.
    #[must_use]
    pub fn is_explicit(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns `true` if `name` has no valid value because one was rejected, also under a similar name. Further errors
    /// about it are consequences of that one.
    pub(super) fn is_rejected(&self, name: &str) -> bool {
        self.rejected.contains(name) && !self.is_explicit(name)
    }

    /// Returns the explicit settings that eventryd ignores, each with its origin and the reason.
    pub fn ignored(&self) -> impl Iterator<Item = (&'static SettingSpec, &Origin, &'static str)> {
        self.values.iter().filter_map(|(name, (_, origin))| {
            let spec = setting_spec(name)?;
            match spec.reload_effect {
                ReloadEffect::Ignored(reason) => Some((spec, origin, reason)),
                _ => None,
            }
        })
    }

    /// Returns the lines of the file without effect: the name of an unknown or repeated setting, its
    /// origin and the reason.
    pub fn unused(&self) -> impl Iterator<Item = (&str, &Origin, &str)> {
        self.unused
            .iter()
            .map(|(name, origin, reason)| (name.as_str(), origin, reason.as_str()))
    }

    /// Returns the value of a number or boolean.
    ///
    /// # Panics
    ///
    /// This function and those below panic if the setting has another type or, for numbers, no
    /// default.
    pub(super) fn integer(&self, name: &str) -> i64 {
        match self.value_by_name(name) {
            Some(SettingValue::Integer(number)) => number,
            Some(SettingValue::Boolean(is)) => i64::from(is),
            other => unreachable!("{name} is no number: {other:?}"),
        }
    }

    /// Returns the value of a number that the table requires to be non-negative.
    pub(super) fn unsigned(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).expect("the value was checked when it was read")
    }

    pub(super) fn is_enabled(&self, name: &str) -> bool {
        self.integer(name) == 1
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.value_by_name(name) {
            Some(SettingValue::Text(text)) => Some(text),
            None => None,
            other => unreachable!("{name} is no string: {other:?}"),
        }
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let texts = |values: Vec<SettingValue>| {
            let text = |value| match value {
                SettingValue::Text(text) => text,
                other => unreachable!("{name} is no list of strings: {other:?}"),
            };
            values.into_iter().map(text).collect()
        };
        match self.value_by_name(name) {
            Some(SettingValue::List(values)) => Some(texts(values)),
            None => None,
            other => unreachable!("{name} is no list: {other:?}"),
        }
    }

    pub(super) fn mode(&self, name: &str) -> Option<u32> {
        let text = self.text(name)?;
        Some(u32::from_str_radix(&text, 8).expect("the value was checked when it was read"))
    }

    fn value_by_name(&self, name: &str) -> Option<SettingValue> {
        self.value(setting_spec(name).unwrap_or_else(|| unreachable!("{name} is in the table")))
    }
}

/// Returns the error about an unknown setting, or `None` if it is ignored with a warning.
fn unknown_setting(name: &str, format: ConfigFormat) -> Option<String> {
    let unknown = format!("unknown setting `{name}`");
    match nearest_spec(name) {
        // A typo may open a socket.
        Some(spec) => Some(format!("{unknown}; did you mean `{}`?", spec.name)),
        None if format == ConfigFormat::Libvirt && !name.starts_with("eventry_") => None,
        None => Some(format!(
            "{unknown}; `eventryd --print-sample` lists all settings"
        )),
    }
}

/// Checks that a value is valid for a setting. The error describes the valid values.
fn check_value(spec: &SettingSpec, value: &SettingValue) -> Result<(), String> {
    let name = spec.name;
    let expected = |what: &str| Err(format!("`{name}` must be {what}, not {}", value.kind()));
    // `--print-config` writes every value in the syntax of libvirtd.conf.
    if !value.is_representable() {
        return Err(format!(
            "`{name}` has a string that the syntax of libvirtd.conf cannot express: with a line end or both kinds of quotes it must not contain `\"\"\"` or end with `\"`"
        ));
    }
    match (spec.value_type, value) {
        (SettingType::Bool, SettingValue::Boolean(_) | SettingValue::Integer(0 | 1)) => Ok(()),
        (SettingType::Bool, SettingValue::Integer(_)) => Err(format!("`{name}` must be 0 or 1")),
        (SettingType::Bool, _) => expected("0 or 1"),
        (SettingType::Unsigned { min, max }, SettingValue::Integer(number)) => {
            if (i64::from(min)..=i64::from(max)).contains(number) {
                return Ok(());
            }
            let bounds = if max == u32::MAX && *number < i64::from(min) {
                format!("at least {min}")
            } else {
                format!("from {min} to {max}")
            };
            Err(format!("`{name}` must be {bounds}, not {number}"))
        }
        (SettingType::Unsigned { .. }, _) => expected("a number"),
        (SettingType::Signed, SettingValue::Integer(number)) => i32::try_from(*number)
            .map(|_| ())
            .map_err(|_| format!("`{name}` must be from {} to {}", i32::MIN, i32::MAX)),
        (SettingType::Signed, _) => expected("a number"),
        (SettingType::List, SettingValue::List(values)) => {
            let other = values
                .iter()
                .find(|value| !matches!(value, SettingValue::Text(_)));
            other.map_or(Ok(()), |other| {
                let kind = other.kind();
                Err(format!(
                    "`{name}` must be a list of strings, but contains {kind}"
                ))
            })
        }
        (SettingType::List, _) => expected("a list of strings, in [ ]"),
        (_, SettingValue::Text(text)) => check_text(spec, text),
        _ => expected("a string, in quotes"),
    }
}

fn check_text(spec: &SettingSpec, text: &str) -> Result<(), String> {
    let name = spec.name;
    match spec.value_type {
        _ if text.contains('\0') => Err(format!(
            "`{name}` contains a NUL byte, where libvirtd would cut the text off; remove it"
        )),
        // An empty path is an error only where it is used.
        SettingType::Path if !text.is_empty() && !text.starts_with('/') => {
            Err(format!("`{name}` must be an absolute path, not {text:?}"))
        }
        SettingType::Mode => match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(()),
            _ => Err(format!(
                "`{name}` must be a mode in octal digits, at most \"0777\", such as \"0770\", not {text:?}"
            )),
        },
        SettingType::OneOf(choices) if !choices.contains(&text) => Err(format!(
            "`{name}` must be one of {}, not {text:?}",
            choices.to_quoted_list()
        )),
        _ => Ok(()),
    }
}

/// Formatting of strings for a sentence: quoted and separated by commas.
trait QuotedList {
    fn to_quoted_list(&self) -> String;
}

impl QuotedList for [&str] {
    fn to_quoted_list(&self) -> String {
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
        let (settings, errors) =
            Settings::from_file(Path::new("a.conf"), ConfigFormat::Libvirt, parsed.settings);
        let said = errors
            .iter()
            .map(|error| format!("{} {}", error.position, error.message));
        (settings, said.collect())
    }

    #[test]
    fn unknown_setting_reports_position_and_nearest_name() {
        let text = "max_clients = 1\n  max_client = 2\nqwertz = 3\neventry_qwertz = 1";
        let (settings, said) = read(text);
        assert_eq!(
            said,
            [
                "2:3 unknown setting `max_client`; did you mean `max_clients`?",
                "4:1 unknown setting `eventry_qwertz`; `eventryd --print-sample` lists all settings",
            ]
        );
        let unused: Vec<_> = settings
            .unused()
            .map(|(name, at, reason)| (name, at.to_string(), reason))
            .collect();
        assert_eq!(unused, [("qwertz", "a.conf:3".to_owned(), UNKNOWN)]);
    }

    /// Settings of qemu.conf, of other daemons of libvirt, and of old releases.
    #[test]
    fn settings_of_other_daemons_are_no_typos() {
        let names = "security_driver user group dynamic_ownership remember_owner vnc_listen vnc_tls vnc_sasl \
            spice_listen spice_tls chardev_tls max_files max_processes max_core max_queued max_threads_per_process \
            migration_address migration_host migration_port_min cgroup_controllers cgroup_device_acl \
            clear_emulator_capabilities set_process_name stdio_handler log_timestamp nvram namespaces user_alias \
            default_tls_x509_cert_dir migrate_tls_force lock_manager mac_filter rx_queue_size tx_queue_size \
            remote_display_port_min seccomp_sandbox swtpm_user hugetlbfs_mount auto_dump_path uri_default uri_aliases \
            remote_mode max_size max_backups max_age_days firewall_backend log_with_libvirtd auto_shutdown_wait \
            require_lease_for_disks auto_disk_leases disk_lease_dir tls_session_cache";
        for name in names.split_whitespace() {
            let (settings, said) = read(&format!("{name} = 1"));
            assert_eq!(
                (said.len(), settings.unused().count()),
                (0, 1),
                "{name}: {said:?}"
            );
        }
    }

    #[test]
    fn first_of_several_equal_names_wins() {
        // libvirtd does not check the value of a line that has no effect.
        let (settings, said) = read("max_clients = 7; max_clients = 8\nmax_clients = 'x'");
        assert_eq!((settings.unsigned("max_clients"), said.len()), (7, 0));
        let unused: Vec<_> = settings
            .unused()
            .map(|(_, at, reason)| (at.to_string(), reason))
            .collect();
        let reason =
            "line 1 sets it already; the first line applies, as in libvirt; remove one of them";
        let expected = [1, 2].map(|line| (format!("a.conf:{line}"), reason));
        assert_eq!(unused, expected);
        // The first one must be valid, even if a later one is.
        let (settings, said) = read("max_clients = 'x'\nmax_clients = 8");
        assert_eq!(said.len(), 1);
        assert!(settings.is_rejected("max_clients"));
    }

    #[test]
    fn value_of_the_wrong_type_is_rejected() {
        let cases = [
            ("listen_tcp = 2", "must be 0 or 1"),
            ("listen_tcp = -1", "must be 0 or 1"),
            ("listen_tcp = \"1\"", "must be 0 or 1, not a string"),
            ("max_clients = \"5\"", "a number, not a string"),
            ("max_clients = 0", "at least 1, not 0"),
            ("max_clients = -1", "at least 1, not -1"),
            (
                "max_queued_clients = 4294967296",
                "must be from 0 to 4294967295, not 4294967296",
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
            (
                "tls_allowed_dn_list = [ \"x\", 1 ]",
                "but contains a number",
            ),
            ("unix_sock_ro_perms = \"0888\"", "octal"),
            ("unix_sock_ro_perms = \"1777\"", "octal"),
            ("unix_sock_ro_perms = \"+77\"", "octal"),
            ("unix_sock_ro_perms = \"\"", "octal"),
            (
                "auth_tls = \"None\"",
                "one of \"none\", \"sasl\", \"polkit\", not \"None\"",
            ),
            ("host_uuid_source = \"dmi\"", "\"machine-id\""),
            ("unix_sock_dir = \"run\"", "an absolute path"),
            ("eventry_idle_timeout = 2147484", "from 0 to 2147483"),
        ];
        for (text, expected) in cases {
            let (_, said) = read(text);
            assert_eq!(said.len(), 1, "{text}: {said:?}");
            assert!(said[0].contains(expected), "{text}: {said:?}");
        }
    }

    #[test]
    fn set_overrides_the_file_and_records_the_origin() {
        let (mut settings, _) = read("max_clients = 7");
        assert_eq!(
            settings.origin("max_clients").unwrap().to_string(),
            "a.conf:1"
        );
        let origin = Origin::Option("--example");
        settings
            .set("max_clients", SettingValue::Integer(9), origin.clone())
            .unwrap();
        assert_eq!(settings.unsigned("max_clients"), 9);
        assert_eq!(settings.origin("max_clients"), Some(&origin));
        assert!(
            settings
                .set("max_clients", SettingValue::Integer(0), origin)
                .is_err()
        );
    }

    #[test]
    fn ignored_settings_are_listed() {
        let (settings, _) = read("audit_level = 2\nmax_clients = 5\nmdns_adv = 1\n");
        let named: Vec<_> = settings
            .ignored()
            .map(|(spec, at, _)| (spec.name, at.to_string()))
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
    fn default_values_pass_their_own_check() {
        for spec in crate::config::setting_specs() {
            let Some(value) = spec.default_value() else {
                continue;
            };
            assert_eq!(check_value(spec, &value), Ok(()));
        }
    }
}
