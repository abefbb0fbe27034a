//! A configuration file as a text, and what is wrong with it as people read it.

use super::text::{Position, Problem, Shown};
use super::{Settings, Virconf, toml};
use std::fmt;
use std::path::{Path, PathBuf};

/// The syntax of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// That of `libvirtd.conf`.
    Libvirt,
    /// TOML.
    Toml,
}

impl Format {
    /// The syntax that the name of a file tells: `.toml` is TOML, everything else libvirt's.
    #[must_use]
    pub fn of(path: &Path) -> Format {
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            Format::Toml
        } else {
            Format::Libvirt
        }
    }
}

/// A configuration file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its syntax.
    pub format: Format,
    /// Its text.
    pub text: Vec<u8>,
}

impl Source {
    /// The settings in it, and everything that is wrong with it.
    #[must_use]
    pub fn settings(&self) -> (Settings, Vec<Fault>) {
        let read = match self.format {
            Format::Libvirt => Virconf::parse(&self.text)
                .map(|file| file.settings)
                .map_err(|problem| vec![problem]),
            Format::Toml => toml::parse(&self.text),
        };
        let (settings, problems) = match read {
            Ok(read) => Settings::from_file(&self.path, read),
            Err(problems) => (Settings::default(), problems),
        };
        let faults = problems.into_iter().map(|problem| self.fault(problem));
        (settings, faults.collect())
    }

    /// A problem with this file as people read it.
    #[must_use]
    pub fn fault(&self, problem: Problem) -> Fault {
        let line = usize::try_from(problem.at.line).unwrap_or(usize::MAX);
        let text = self.text.split(|byte| *byte == b'\n').nth(line - 1);
        Fault {
            place: format!("{}:{}", self.path.display(), problem.at),
            message: problem.message,
            excerpt: text.map(|text| excerpt(&String::from_utf8_lossy(text), problem.at)),
        }
    }
}

/// What is wrong with a configuration, with its place and, in a file, the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The place: file, line and column, an option or a variable.
    pub place: String,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The line of the file, and a mark below the column.
    pub excerpt: Option<String>,
}

/// Shows what the message quotes of a file so that it does nothing to a terminal.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Shown(&self.place), Shown(&self.message))?;
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

/// The line of a place with a mark below, cut to what fits a terminal.
fn excerpt(line: &str, at: Position) -> String {
    const BEFORE: usize = 40;
    const WIDTH: usize = 72;
    let column = usize::try_from(at.column).unwrap_or(usize::MAX) - 1;
    let skipped = column.saturating_sub(BEFORE);
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(WIDTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let number = at.line;
    let margin = " ".repeat(number.to_string().len());
    let mark = " ".repeat(column - skipped);
    format!("{number} | {}\n{margin} | {mark}^", shown.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_quotes_a_file_does_nothing_to_a_terminal() {
        let fault = Fault {
            place: "file:1:1".to_owned(),
            message: "output `\u{1b}[2J\0\u{9b}é\n` goes nowhere".to_owned(),
            excerpt: None,
        };
        let shown = r"file:1:1: output `\u{1b}[2J\u{0}\u{9b}é\n` goes nowhere";
        assert_eq!(fault.to_string(), shown);
    }

    fn faults(path: &str, text: &str) -> Vec<String> {
        let path = PathBuf::from(path);
        let source = Source {
            format: Format::of(&path),
            path,
            text: text.as_bytes().to_vec(),
        };
        source.settings().1.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_fault_shows_file_line_column_and_the_place_in_the_line() {
        let text = "# ours\nmax_clients = 0\nfoo = 1";
        assert_eq!(
            faults("x/eventryd.conf", text),
            [
                "x/eventryd.conf:2:15: `max_clients` must be at least 1, not 0\n\
                 2 | max_clients = 0\n  |               ^",
                "x/eventryd.conf:3:1: there is no setting `foo`; `eventryd --print-sample` lists them\n\
                 3 | foo = 1\n  | ^",
            ]
        );
        assert_eq!(faults("a.toml", "max_clients = \"x\"\n").len(), 1);
    }

    #[test]
    fn syntax_is_told_by_the_name_of_the_file() {
        let names = [
            ("eventryd.toml", Format::Toml),
            ("libvirtd.conf", Format::Libvirt),
            ("toml", Format::Libvirt),
        ];
        for (name, format) in names {
            assert_eq!(Format::of(Path::new(name)), format);
        }
        // A backslash is none of TOML's escapes.
        let dn = "tls_allowed_dn_list = [ \"O=Red Hat\\, Inc\" ]";
        assert_eq!(faults("a.conf", dn), [""; 0]);
        assert!(faults("a.toml", dn)[0].starts_with("a.toml:1:"));
    }

    #[test]
    fn a_long_line_is_shown_around_the_place_and_steers_no_terminal() {
        let text = format!("{}\u{1b}[2Jmax = 1", " ".repeat(500));
        let fault = &faults("a.conf", &text)[0];
        assert!(
            fault.contains("a.conf:1:501") && !fault.contains('\u{1b}'),
            "{fault}"
        );
        assert!(fault.lines().all(|line| line.len() < 100), "{fault}");
        assert!(fault.ends_with(&format!("{}^", " ".repeat(40))), "{fault}");
    }
}
