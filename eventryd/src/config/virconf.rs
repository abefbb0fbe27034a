//! Parser of `libvirtd.conf`.
//!
//! A file has settings of the form `name = value`, one per line or separated by `;`. A value is a
//! number, a string or a list. Strings have no escapes: a backslash is an ordinary character. `#`
//! starts a comment, but not inside a list. The parser accepts what libvirt's `virconf.c` accepts,
//! with three differences: a number that does not fit 64 bits and a string that is not UTF-8 are
//! errors, and a file of blanks is empty.

use super::spec::{SettingType, setting_spec};
use super::text::{ParseError, Position, Setting, SettingValue};
use std::fmt;

/// Maximum size of a configuration file in bytes, as in libvirt.
pub const MAX_FILE_SIZE: usize = crate::whole_file::MAX_FILE_SIZE;

/// Maximum number of syntax errors that are reported for a file, which bounds the time.
pub const MAX_SYNTAX_ERRORS: usize = 20;

/// Maximum nesting of lists, which bounds the recursion. No setting is a list of lists.
const MAX_DEPTH: usize = 16;

/// Delimiter of a string that may contain line ends.
const TRIPLE_QUOTE: &str = "\"\"\"";

/// Parsed file in libvirt's syntax.
///
/// ```
/// use eventryd::config::{SettingValue, Virconf};
///
/// let file = Virconf::parse(b"max_clients = 20 # enough\nlisten_addr = '::1'\n").unwrap();
/// assert_eq!(file.settings[0].value, SettingValue::Integer(20));
/// assert_eq!(file.settings[1].name_position.line, 2);
/// assert_eq!(file.to_string(), "max_clients = 20\nlisten_addr = \"::1\"\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Virconf {
    /// Settings in the order of the file. The first of several with the same name applies.
    pub settings: Vec<Setting>,
}

impl Virconf {
    /// Parses a text of at most [`MAX_FILE_SIZE`] bytes.
    ///
    /// # Errors
    ///
    /// The first syntax error.
    pub fn parse(text: &[u8]) -> Result<Virconf, ParseError> {
        let (file, errors) = Virconf::parse_recovering(text, 1);
        errors.into_iter().next().map_or(Ok(file), Err)
    }

    /// Parses a text, and continues after an error at the next line that begins like a setting.
    /// Returns the settings that were read, and at most [`MAX_SYNTAX_ERRORS`] errors.
    ///
    /// ```
    /// use eventryd::config::Virconf;
    ///
    /// let (file, errors) = Virconf::parse_all(b"a = [ 'x'\nb: 2\nc = 3\n");
    /// assert_eq!(errors.len(), 1);
    /// assert_eq!(file.settings[0].name, "c");
    /// ```
    #[must_use]
    pub fn parse_all(text: &[u8]) -> (Virconf, Vec<ParseError>) {
        Virconf::parse_recovering(text, MAX_SYNTAX_ERRORS)
    }

    fn parse_recovering(text: &[u8], max_errors: usize) -> (Virconf, Vec<ParseError>) {
        let mut parser = Parser {
            text,
            offset: 0,
            last_position: (0, Position::START),
        };
        let mut file = Virconf::default();
        let mut errors = Vec::new();
        if text.len() > MAX_FILE_SIZE {
            let message = format!("the file is longer than {MAX_FILE_SIZE} bytes");
            errors.push(parser.error(message));
            return (file, errors);
        }
        if let Some((mark, message)) = byte_order_mark(text) {
            errors.push(parser.error(message));
            parser.offset = mark;
        }
        parser.skip_blanks_and_line_ends();
        while !parser.is_at_end() && errors.len() < max_errors {
            let start = parser.offset;
            if let Err(error) = parser.statement(&mut file.settings) {
                errors.push(error);
                parser.skip_to_next_setting(start);
            }
        }
        (file, errors)
    }
}

/// Returns the length of the byte order mark at the start of a text, and the error about it.
/// libvirtd rejects such a file too, with "expecting a name".
fn byte_order_mark(text: &[u8]) -> Option<(usize, &'static str)> {
    if text.starts_with(b"\xef\xbb\xbf") {
        let message = "the file begins with a byte order mark (BOM), which libvirtd does not \
                       accept either; save it as UTF-8 without BOM";
        Some((3, message))
    } else if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        // Nothing else in the file can be read.
        Some((
            text.len(),
            "the file is UTF-16, by its byte order mark; save it as UTF-8 without BOM",
        ))
    } else {
        None
    }
}

/// Writes the settings in the same syntax. Parsing the result gives the same names and values.
impl fmt::Display for Virconf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &self.settings {
            writeln!(f, "{} = {}", setting.name, setting.value)?;
        }
        Ok(())
    }
}

impl SettingValue {
    /// Returns `true` if libvirt's syntax can express the value.
    ///
    /// That is so for every value of a `libvirtd.conf`. TOML has strings that no kind of quotes of
    /// libvirt's syntax can hold.
    ///
    /// ```
    /// use eventryd::config::SettingValue;
    ///
    /// assert!(SettingValue::Text("O'Brien \"B\".".to_owned()).is_representable());
    /// assert!(!SettingValue::Text("O'Brien \"B\"".to_owned()).is_representable());
    /// ```
    #[must_use]
    pub fn is_representable(&self) -> bool {
        match self {
            SettingValue::Integer(_) | SettingValue::Boolean(_) => true,
            SettingValue::Text(text) => delimiter_for(text).is_some(),
            SettingValue::List(values) => values.iter().all(SettingValue::is_representable),
        }
    }
}

/// Returns quotes that can hold `text`, or `None` if every kind would end early.
fn delimiter_for(text: &str) -> Option<&'static str> {
    let is_one_line = !text.contains(['\n', '\r']);
    if is_one_line && !text.contains('"') {
        Some("\"")
    } else if is_one_line && !text.contains('\'') {
        Some("'")
    } else {
        let ends_early = text.contains(TRIPLE_QUOTE) || text.ends_with('"');
        (!ends_early).then_some(TRIPLE_QUOTE)
    }
}

/// Writes the value in libvirt's syntax. The result is valid only for a value that
/// [`is_representable`](SettingValue::is_representable), as all values in
/// [`Settings`](super::Settings) are.
impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingValue::Integer(number) => write!(f, "{number}"),
            SettingValue::Boolean(is) => write!(f, "{}", u8::from(*is)),
            SettingValue::Text(text) => {
                let quotes = delimiter_for(text).unwrap_or(TRIPLE_QUOTE);
                write!(f, "{quotes}{text}{quotes}")
            }
            SettingValue::List(values) => {
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
    /// Offset of the next byte.
    offset: usize,
    /// Offset and position of an earlier byte, so that counting does not restart at the beginning.
    last_position: (usize, Position),
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.offset).copied()
    }

    fn is_at_end(&self) -> bool {
        self.offset == self.text.len()
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) -> &'a [u8] {
        let begin = self.offset;
        while self.peek().is_some_and(&skipped) {
            self.offset += 1;
        }
        &self.text[begin..self.offset]
    }

    fn skip_blanks(&mut self) {
        self.skip_while(is_blank);
    }

    fn skip_blanks_and_line_ends(&mut self) {
        self.skip_while(|byte| is_blank(byte) || is_line_end(byte));
    }

    fn skip_comment(&mut self) {
        if self.peek() == Some(b'#') {
            self.skip_while(|byte| !is_line_end(byte));
        }
    }

    /// Returns the position of the next byte.
    fn position(&mut self) -> Position {
        let (from, position) = match self.last_position {
            // After an error the parser goes back.
            (from, _) if from > self.offset => (0, Position::START),
            last => last,
        };
        self.last_position = (self.offset, position.after(&self.text[from..self.offset]));
        self.last_position.1
    }

    fn error(&mut self, message: impl Into<String>) -> ParseError {
        let position = self.position();
        let message = message.into();
        ParseError { position, message }
    }

    /// Parses a comment or a setting, up to the start of the next one.
    fn statement(&mut self, settings: &mut Vec<Setting>) -> Result<(), ParseError> {
        if self.peek() == Some(b'#') {
            self.skip_comment();
        } else {
            let setting = self.setting()?;
            self.skip_blanks();
            self.skip_comment();
            // Before it, the value may be the start of something else, as in `0x10`.
            self.separator()?;
            settings.push(setting);
            return Ok(());
        }
        self.separator()
    }

    /// Goes to the first line below `start` that begins with a name and `=`, so that the rest of a
    /// broken list does not cause further errors.
    fn skip_to_next_setting(&mut self, start: usize) {
        self.offset = start;
        while !self.is_at_end() {
            self.skip_while(|byte| !is_line_end(byte));
            self.skip_blanks_and_line_ends();
            let line = self.offset;
            let name = self.skip_while(is_name_byte);
            self.skip_blanks();
            let is_setting = !name.is_empty() && self.peek() == Some(b'=');
            if is_setting {
                self.offset = line;
                return;
            }
        }
    }

    fn separator(&mut self) -> Result<(), ParseError> {
        self.skip_blanks();
        match self.peek() {
            None => {}
            Some(byte) if is_line_end(byte) => {}
            Some(b';') => self.offset += 1,
            Some(_) => {
                return Err(self.error("expecting the end of the line, or `;`, after a value"));
            }
        }
        self.skip_blanks_and_line_ends();
        Ok(())
    }

    fn setting(&mut self) -> Result<Setting, ParseError> {
        let name_position = self.position();
        if !self.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return Err(self.error("expecting the name of a setting"));
        }
        let name = self.skip_while(is_name_byte);
        let name = String::from_utf8_lossy(name).into_owned();
        self.skip_blanks();
        if self.peek() != Some(b'=') {
            return Err(self.error(format!("expecting `=` after `{name}`")));
        }
        self.offset += 1;
        self.skip_blanks();
        let value_position = self.position();
        let is_bool = setting_spec(&name).is_some_and(|spec| spec.value_type == SettingType::Bool);
        let value = self.value(0, is_bool)?;
        Ok(Setting {
            name,
            name_position,
            value,
            value_position,
        })
    }

    /// Parses a value of a setting, which is a boolean one if `is_bool` is set, or of a list at `depth`.
    fn value(&mut self, depth: usize, is_bool: bool) -> Result<SettingValue, ParseError> {
        self.skip_blanks();
        match self.peek() {
            Some(b'"' | b'\'') => self.string().map(SettingValue::Text),
            Some(b'[') => self.list(depth).map(SettingValue::List),
            Some(b'+' | b'-' | b'0'..=b'9') => self.number().map(SettingValue::Integer),
            _ => {
                let rest = &self.text[self.offset..];
                let end = rest.iter().position(|byte| !is_name_byte(*byte));
                let hint = match &rest[..end.unwrap_or(rest.len())] {
                    b"true" | b"false" if is_bool => "; use 1 or 0; true and false are TOML",
                    _ => "",
                };
                Err(self.error(format!(
                    "expecting a value: a number, a string in quotes or a list in [ ]{hint}"
                )))
            }
        }
    }

    fn number(&mut self) -> Result<i64, ParseError> {
        let position = self.position();
        let is_negative = self.peek() == Some(b'-');
        if matches!(self.peek(), Some(b'+' | b'-')) {
            self.offset += 1;
        }
        let digits = self.skip_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.error("expecting a digit"));
        }
        let number = digits.iter().try_fold(0_i64, |number, digit| {
            let digit = i64::from(digit - b'0');
            number
                .checked_mul(10)?
                .checked_add(if is_negative { -digit } else { digit })
        });
        number.ok_or_else(|| ParseError {
            position,
            message: "the number is too large".to_owned(),
        })
    }

    fn string(&mut self) -> Result<String, ParseError> {
        let position = self.position();
        let error = |message: String| ParseError { position, message };
        let rest = &self.text[self.offset..];
        let quotes = TRIPLE_QUOTE.as_bytes();
        let content = if rest.starts_with(quotes) && rest.len() > 6 {
            let content = &rest[3..];
            let end = content.windows(3).position(|three| three == quotes);
            let end = end.ok_or_else(|| error("the string has no closing `\"\"\"`".to_owned()))?;
            self.offset += 3 + end + 3;
            &content[..end]
        } else {
            let quote = rest[0];
            self.offset += 1;
            let content = self.skip_while(|byte| byte != quote && !is_line_end(byte));
            if self.peek() != Some(quote) {
                let quote = char::from(quote);
                return Err(error(format!(
                    "the string has no closing `{quote}` on its line"
                )));
            }
            self.offset += 1;
            content
        };
        let content = std::str::from_utf8(content);
        content.map(str::to_owned).map_err(|_| {
            error(
                "the string is not UTF-8, so it could not be shown; convert the file to UTF-8"
                    .to_owned(),
            )
        })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<SettingValue>, ParseError> {
        let position = self.position();
        if depth == MAX_DEPTH {
            return Err(self.error("lists are nested too deeply"));
        }
        self.offset += 1;
        let mut values = Vec::new();
        loop {
            self.skip_blanks_and_line_ends();
            match self.peek() {
                None => {
                    let message = "the list has no closing `]`".to_owned();
                    return Err(ParseError { position, message });
                }
                Some(b']') => {
                    self.offset += 1;
                    return Ok(values);
                }
                Some(_) => values.push(self.value(depth + 1, false)?),
            }
            self.skip_blanks_and_line_ends();
            match self.peek() {
                Some(b',') => self.offset += 1,
                Some(b']') | None => {}
                Some(_) => return Err(self.error("expecting `,` or `]` in a list")),
            }
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

#[cfg(test)]
#[path = "virconf_tests.rs"]
mod tests;
