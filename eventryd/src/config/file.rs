//! Configuration file in memory, and errors with an excerpt of it.

use super::text::{ConfigFormat, Escaped, ParseError, Position};
use super::{Settings, Virconf, toml};
use std::fmt;
use std::path::PathBuf;

/// Configuration file with its contents.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Path, for error messages.
    pub path: PathBuf,
    /// Syntax.
    pub format: ConfigFormat,
    /// Contents.
    pub text: Vec<u8>,
}

impl ConfigFile {
    /// Parses the file. Returns the valid settings and all errors. A TOML file with a syntax error
    /// has no settings.
    #[must_use]
    pub fn parse(&self) -> (Settings, Vec<ConfigError>) {
        let parsed = self.parse_syntax();
        let errors = parsed.syntax_errors.into_iter().chain(parsed.value_errors);
        (parsed.settings, errors.collect())
    }

    pub(super) fn parse_syntax(&self) -> ParsedFile {
        let (read, syntax_errors) = match self.format {
            ConfigFormat::Libvirt => {
                let (file, errors) = Virconf::parse_all(&self.text);
                (file.settings, errors)
            }
            ConfigFormat::Toml => match toml::parse(&self.text) {
                Ok(read) => (read, Vec::new()),
                Err(errors) => (Vec::new(), errors),
            },
        };
        let (settings, value_errors) = Settings::from_file(&self.path, self.format, read);
        let located = |errors: Vec<ParseError>| {
            let errors = errors.into_iter().map(|error| self.error_at(error));
            errors.collect()
        };
        ParsedFile {
            settings,
            syntax_errors: located(syntax_errors),
            value_errors: located(value_errors),
        }
    }

    /// Adds the path and an excerpt of the file to an error.
    #[must_use]
    pub fn error_at(&self, error: ParseError) -> ConfigError {
        let line = usize::try_from(error.position.line).unwrap_or(usize::MAX);
        let text = self.text.split(|byte| *byte == b'\n').nth(line - 1);
        ConfigError {
            location: format!("{}:{}", self.path.display(), error.position),
            message: error.message,
            excerpt: text.map(|text| excerpt(&String::from_utf8_lossy(text), error.position)),
        }
    }
}

/// Content of a configuration file.
#[derive(Debug, Default)]
pub(super) struct ParsedFile {
    /// Valid settings.
    pub settings: Settings,
    /// Errors of the syntax. Settings may be missing because of them.
    pub syntax_errors: Vec<ConfigError>,
    /// Unknown settings and invalid values.
    pub value_errors: Vec<ConfigError>,
}

/// Error in a configuration, with its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Location: `file:line:column`, an option or an environment variable.
    pub location: String,
    /// Error message.
    pub message: String,
    /// Line of the file, with a caret below the column.
    pub excerpt: Option<String>,
}

/// Escapes control characters, because the message may quote the file.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Escaped(&self.location), Escaped(&self.message))?;
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

/// Returns the line of a position with a caret below it, cut to the width of a terminal.
fn excerpt(line: &str, position: Position) -> String {
    const BEFORE: usize = 40;
    const WIDTH: usize = 72;
    let column = usize::try_from(position.column).unwrap_or(usize::MAX) - 1;
    let skipped = column.saturating_sub(BEFORE);
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(WIDTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let number = position.line;
    let margin = " ".repeat(number.to_string().len());
    let mark = " ".repeat(column - skipped);
    format!("{number} | {}\n{margin} | {mark}^", shown.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn error_display_escapes_control_characters() {
        let error = ConfigError {
            location: "file:1:1".to_owned(),
            message: "output `\u{1b}[2J\0\u{9b}é\n` goes nowhere".to_owned(),
            excerpt: None,
        };
        let shown = r"file:1:1: output `\u{1b}[2J\u{0}\u{9b}é\n` goes nowhere";
        assert_eq!(error.to_string(), shown);
    }

    fn errors(path: &str, text: &str) -> Vec<String> {
        let path = PathBuf::from(path);
        let source = ConfigFile {
            format: ConfigFormat::from_path(&path),
            path,
            text: text.as_bytes().to_vec(),
        };
        source
            .parse()
            .1
            .iter()
            .map(ConfigError::to_string)
            .collect()
    }

    #[test]
    fn error_shows_file_line_column_and_excerpt() {
        let text = "# ours\nmax_clients = 0\nfoo = 1\neventry_foo = 1";
        assert_eq!(
            errors("x/eventryd.conf", text),
            [
                "x/eventryd.conf:2:15: `max_clients` must be at least 1, not 0\n\
                 2 | max_clients = 0\n  |               ^",
                "x/eventryd.conf:4:1: unknown setting `eventry_foo`; `eventryd --print-sample` lists all settings\n\
                 4 | eventry_foo = 1\n  | ^",
            ]
        );
        let toml = errors("a.toml", "foo = 1");
        assert!(
            toml[0].starts_with("a.toml:1:1: unknown setting `foo`;"),
            "{toml:?}"
        );
        assert_eq!(errors("a.toml", "max_clients = \"x\"\n").len(), 1);
    }

    #[test]
    fn syntax_error_does_not_hide_other_errors() {
        let text = "listen_tcp = yes\nmax_client = 5\ntls_allowed_dn_list = [ 'x'\n  'y',\n  'z' ]\n\
                    log_level = 9 # high\nmax_workers = 'x\nmin_workers = 'x'\nlog_filters = \"\"\n";
        let located: Vec<String> = errors("a.conf", text)
            .iter()
            .map(|error| error.split(' ').next().unwrap().to_owned())
            .collect();
        let expected = ["1:14:", "4:3:", "7:15:", "2:1:", "6:13:", "8:15:"];
        assert_eq!(located, expected.map(|place| format!("a.conf:{place}")));
    }

    #[test]
    fn format_follows_the_file_name() {
        let names = [
            ("eventryd.toml", ConfigFormat::Toml),
            ("libvirtd.conf", ConfigFormat::Libvirt),
            ("toml", ConfigFormat::Libvirt),
        ];
        for (name, format) in names {
            assert_eq!(ConfigFormat::from_path(Path::new(name)), format);
        }
        // TOML has no escape `\,`.
        let dn = "tls_allowed_dn_list = [ \"O=Red Hat\\, Inc\" ]";
        assert_eq!(errors("a.conf", dn), [""; 0]);
        assert!(errors("a.toml", dn)[0].starts_with("a.toml:1:"));
    }

    #[test]
    fn excerpt_of_a_long_line_is_cut_and_escaped() {
        let text = format!("{}\u{1b}[2Jmax = 1", " ".repeat(500));
        let error = &errors("a.conf", &text)[0];
        assert!(
            error.contains("a.conf:1:501") && !error.contains('\u{1b}'),
            "{error}"
        );
        assert!(error.lines().all(|line| line.len() < 100), "{error}");
        assert!(error.ends_with(&format!("{}^", " ".repeat(40))), "{error}");
    }
}
