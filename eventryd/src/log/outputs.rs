//! The setting `log_outputs`: destinations of the log, in libvirt's grammar.

use super::Level;
use super::filters::split_level;
use std::fmt;
use std::path::{Path, PathBuf};

/// Destination of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard error.
    Stderr,
    /// A file, which lines are appended to. SIGHUP reopens it.
    File(PathBuf),
    /// Syslog, with this name as the identifier.
    Syslog(String),
    /// The systemd journal.
    Journald,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Stderr => f.write_str("standard error"),
            Destination::File(path) => write!(f, "{}", path.display()),
            Destination::Syslog(_) => f.write_str("syslog"),
            Destination::Journald => f.write_str("the journal"),
        }
    }
}

/// Destination with the lowest level that it receives (DM-1602).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Lowest level that is written.
    pub level: Level,
    /// Destination.
    pub destination: Destination,
}

impl Output {
    /// Parses outputs of the forms `LEVEL:stderr`, `LEVEL:journald`, `LEVEL:file:PATH` and
    /// `LEVEL:syslog:NAME`, separated by spaces.
    ///
    /// A relative path is resolved in `directory`. The last of several outputs with the same
    /// destination applies.
    ///
    /// ```
    /// use eventryd::log::{Destination, Level, Output};
    ///
    /// let outputs = Output::parse("3:stderr 1:file:log/all", "/var".as_ref()).unwrap();
    /// assert_eq!(outputs[0].level, Level::Warning);
    /// assert_eq!(outputs[1].destination, Destination::File("/var/log/all".into()));
    /// ```
    ///
    /// # Errors
    ///
    /// A message that names the first invalid output. No output is accepted in that case.
    pub fn parse(text: &str, directory: &Path) -> Result<Vec<Output>, String> {
        let mut outputs: Vec<Output> = Vec::new();
        for text in text.split_ascii_whitespace() {
            let output = parse_output(text, directory)?;
            outputs.retain(|earlier| earlier.destination != output.destination);
            outputs.push(output);
        }
        Ok(outputs)
    }
}

fn parse_output(text: &str, directory: &Path) -> Result<Output, String> {
    let invalid = |why: &str| format!("output `{text}` {why}");
    let (level, rest) = split_level(text)
        .ok_or_else(|| invalid("does not begin with a level from 1 to 4 and `:`"))?;
    let (kind, name) = match rest.split_once(':') {
        Some((kind, name)) => (kind, Some(name)),
        None => (rest, None),
    };
    let destination = match (kind, name) {
        ("stderr", None) => Destination::Stderr,
        ("journald", None) => Destination::Journald,
        ("stderr" | "journald", Some(_)) => return Err(invalid("takes no argument")),
        ("file" | "syslog", None | Some("")) => return Err(invalid("has no name after `:`")),
        ("file", Some(path)) if path.contains(':') => {
            return Err(invalid(
                "has a `:` in the file name, which the syntax does not allow",
            ));
        }
        ("file", Some(path)) => Destination::File(directory.join(path)),
        ("syslog", Some(name)) => Destination::Syslog(name.to_owned()),
        _ => {
            return Err(invalid(
                "has an unknown destination; use stderr, file, journald or syslog",
            ));
        }
    };
    Ok(Output { level, destination })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Output>, String> {
        Output::parse(text, Path::new("/here"))
    }

    #[test]
    fn last_output_per_destination_wins() {
        let outputs =
            parsed("1:stderr 2:file:/a 3:file:/b 4:stderr 2:syslog:x 1:journald").unwrap();
        let effective: Vec<_> = outputs
            .into_iter()
            .map(|output| (output.level as u8, output.destination))
            .collect();
        assert_eq!(
            effective,
            [
                (2, Destination::File("/a".into())),
                (3, Destination::File("/b".into())),
                (4, Destination::Stderr),
                (2, Destination::Syslog("x".to_owned())),
                (1, Destination::Journald),
            ]
        );
    }

    #[test]
    fn relative_path_is_resolved_in_the_directory() {
        let outputs = parsed("1:file:x/y").unwrap();
        assert_eq!(
            outputs[0].destination,
            Destination::File("/here/x/y".into())
        );
    }

    #[test]
    fn invalid_output_rejects_the_whole_list() {
        for bad in [
            "stderr",
            "0:stderr",
            "1:stderr:x",
            "1:file",
            "1:file:",
            "1:file:/a:b",
            "1:syslog",
            "1:console",
            "1:",
            "1:journald:",
            "x:journald",
        ] {
            let said = parsed(&format!("1:stderr {bad}")).unwrap_err();
            assert!(said.contains(&format!("`{bad}`")), "{said}");
        }
        let said = parsed("1:journald:x").unwrap_err();
        assert_eq!(said, "output `1:journald:x` takes no argument");
    }
}
