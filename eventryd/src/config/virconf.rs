//! The syntax of `libvirtd.conf`.
//!
//! `name = value`, one per line or separated by `;`. A value is a number, a string or a list. A backslash is
//! a backslash: no string has escapes. What begins with `#` is a comment, but not inside a list. It reads
//! exactly what libvirt's own parser reads; the two differences are that a number that does not fit is an
//! error here, and that blank text is an empty file.

use super::text::{Position, Problem, Setting, Value};
use std::fmt;

/// How long a file may be, in bytes. Libvirt's limit.
pub const MAX_SIZE: usize = 10 << 20;

/// How deep lists may be nested. No setting takes a list of lists.
const MAX_DEPTH: usize = 16;

/// What stands around a string that goes over lines.
const THREE_QUOTES: &str = "\"\"\"";

/// What a file in libvirt's syntax says.
///
/// ```
/// use eventryd::config::{Value, Virconf};
///
/// let file = Virconf::parse(b"max_clients = 20 # enough\nlisten_addr = '::1'\n").unwrap();
/// assert_eq!(file.settings[0].value, Value::Integer(20));
/// assert_eq!(file.settings[1].name_at.line, 2);
/// assert_eq!(file.to_string(), "max_clients = 20\nlisten_addr = \"::1\"\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Virconf {
    /// The settings in their order. Of several with one name the first is in force.
    pub settings: Vec<Setting>,
}

impl Virconf {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Virconf, Problem> {
        let mut parser = Parser {
            text,
            at: 0,
            last_place: (0, Position::START),
        };
        if text.len() > MAX_SIZE {
            let message = format!("the file is longer than {MAX_SIZE} bytes");
            return Err(parser.problem(message));
        }
        let mut settings = Vec::new();
        parser.skip_blanks_and_ends();
        while !parser.is_at_end() {
            if parser.peek() == Some(b'#') {
                parser.skip_comment();
            } else {
                settings.push(parser.setting()?);
                parser.skip_blanks();
                parser.skip_comment();
            }
            parser.separator()?;
        }
        Ok(Virconf { settings })
    }
}

/// Writes the settings so that reading them gives the same again, but for their places and comments.
impl fmt::Display for Virconf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &self.settings {
            writeln!(f, "{} = {}", setting.name, setting.value)?;
        }
        Ok(())
    }
}

impl Value {
    /// Whether libvirt's syntax can say it. What was read from it can be written in it; TOML can say more: a
    /// string that no pair of quotes holds.
    ///
    /// ```
    /// use eventryd::config::Value;
    ///
    /// assert!(Value::Text("O'Brien \"B\".".to_owned()).has_notation());
    /// assert!(!Value::Text("O'Brien \"B\"".to_owned()).has_notation());
    /// ```
    #[must_use]
    pub fn has_notation(&self) -> bool {
        match self {
            Value::Integer(_) | Value::Boolean(_) => true,
            Value::Text(text) => quotes(text).is_some(),
            Value::List(values) => values.iter().all(Value::has_notation),
        }
    }
}

/// The quotes around a text, if there are any that do not end before it does.
fn quotes(text: &str) -> Option<&'static str> {
    let is_one_line = !text.contains(['\n', '\r']);
    if is_one_line && !text.contains('"') {
        Some("\"")
    } else if is_one_line && !text.contains('\'') {
        Some("'")
    } else {
        let ends_early = text.contains(THREE_QUOTES) || text.ends_with('"');
        (!ends_early).then_some(THREE_QUOTES)
    }
}

/// Writes a value in libvirt's syntax, if it [has a notation](Value::has_notation) there. Every value that is
/// in force has one.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(number) => write!(f, "{number}"),
            Value::Boolean(is) => write!(f, "{}", u8::from(*is)),
            Value::Text(text) => {
                let quotes = quotes(text).unwrap_or(THREE_QUOTES);
                write!(f, "{quotes}{text}{quotes}")
            }
            Value::List(values) => {
                write!(f, "[ ")?;
                for (index, value) in values.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{value}")?;
                }
                write!(f, " ]")
            }
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// A byte and its place, so that the next place is not counted from the beginning.
    last_place: (usize, Position),
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) -> &'a [u8] {
        let begin = self.at;
        while self.peek().is_some_and(&skipped) {
            self.at += 1;
        }
        &self.text[begin..self.at]
    }

    fn skip_blanks(&mut self) {
        self.skip_while(is_blank);
    }

    fn skip_blanks_and_ends(&mut self) {
        self.skip_while(|byte| is_blank(byte) || is_end(byte));
    }

    fn skip_comment(&mut self) {
        if self.peek() == Some(b'#') {
            self.skip_while(|byte| !is_end(byte));
        }
    }

    /// Where the next byte stands.
    fn place(&mut self) -> Position {
        let (from, place) = self.last_place;
        self.last_place = (self.at, place.after(&self.text[from..self.at]));
        self.last_place.1
    }

    fn problem(&mut self, message: impl Into<String>) -> Problem {
        let at = self.place();
        let message = message.into();
        Problem { at, message }
    }

    fn separator(&mut self) -> Result<(), Problem> {
        self.skip_blanks();
        match self.peek() {
            None => {}
            Some(byte) if is_end(byte) => {}
            Some(b';') => self.at += 1,
            Some(_) => {
                return Err(self.problem("expecting the end of the line, or `;`, after a value"));
            }
        }
        self.skip_blanks_and_ends();
        Ok(())
    }

    fn setting(&mut self) -> Result<Setting, Problem> {
        let name_at = self.place();
        if !self.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return Err(self.problem("expecting the name of a setting"));
        }
        let name = self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name = String::from_utf8_lossy(name).into_owned();
        self.skip_blanks();
        if self.peek() != Some(b'=') {
            return Err(self.problem(format!("expecting `=` after `{name}`")));
        }
        self.at += 1;
        self.skip_blanks();
        let value_at = self.place();
        let value = self.value(0)?;
        Ok(Setting {
            name,
            name_at,
            value,
            value_at,
        })
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        self.skip_blanks();
        match self.peek() {
            Some(b'"' | b'\'') => self.string().map(Value::Text),
            Some(b'[') => self.list(depth).map(Value::List),
            Some(b'+' | b'-' | b'0'..=b'9') => self.number().map(Value::Integer),
            _ => {
                Err(self
                    .problem("expecting a value: a number, a string in quotes or a list in [ ]"))
            }
        }
    }

    fn number(&mut self) -> Result<i64, Problem> {
        let at = self.place();
        let is_negative = self.peek() == Some(b'-');
        if matches!(self.peek(), Some(b'+' | b'-')) {
            self.at += 1;
        }
        let digits = self.skip_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.problem("expecting a digit"));
        }
        let number = digits.iter().try_fold(0_i64, |number, digit| {
            let digit = i64::from(digit - b'0');
            number
                .checked_mul(10)?
                .checked_add(if is_negative { -digit } else { digit })
        });
        number.ok_or_else(|| Problem {
            at,
            message: "the number is too large".to_owned(),
        })
    }

    fn string(&mut self) -> Result<String, Problem> {
        let at = self.place();
        let problem = |message: String| Problem { at, message };
        let rest = &self.text[self.at..];
        let quotes = THREE_QUOTES.as_bytes();
        let content = if rest.starts_with(quotes) && rest.len() > 6 {
            let content = &rest[3..];
            let end = content.windows(3).position(|three| three == quotes);
            let end =
                end.ok_or_else(|| problem("the string has no closing `\"\"\"`".to_owned()))?;
            self.at += 3 + end + 3;
            &content[..end]
        } else {
            let quote = rest[0];
            self.at += 1;
            let content = self.skip_while(|byte| byte != quote && !is_end(byte));
            if self.peek() != Some(quote) {
                let quote = char::from(quote);
                return Err(problem(format!(
                    "the string has no closing `{quote}` on its line"
                )));
            }
            self.at += 1;
            content
        };
        let content = std::str::from_utf8(content);
        content
            .map(str::to_owned)
            .map_err(|_| problem("the string is not UTF-8".to_owned()))
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, Problem> {
        let at = self.place();
        if depth == MAX_DEPTH {
            return Err(self.problem("lists are nested too deep"));
        }
        self.at += 1;
        let mut values = Vec::new();
        loop {
            self.skip_blanks_and_ends();
            match self.peek() {
                None => {
                    let message = "the list has no closing `]`".to_owned();
                    return Err(Problem { at, message });
                }
                Some(b']') => {
                    self.at += 1;
                    return Ok(values);
                }
                Some(_) => values.push(self.value(depth + 1)?),
            }
            self.skip_blanks_and_ends();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') | None => {}
                Some(_) => return Err(self.problem("expecting `,` or `]` in a list")),
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

#[cfg(test)]
#[path = "virconf_tests.rs"]
mod tests;
