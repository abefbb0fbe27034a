//! What a configuration file says, whatever its syntax: settings in their order, each with its place.

use std::fmt::{self, Write};

/// A place in a text. Both count from 1; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The beginning of a text.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The place after `text`, which begins here.
    #[must_use]
    pub fn after(self, text: &[u8]) -> Position {
        text.iter().fold(self, |at, byte| match byte {
            b'\n' => Position {
                line: at.line.saturating_add(1),
                column: 1,
            },
            // Of a character of several bytes the first one counts.
            0x80..=0xbf => at,
            _ => Position {
                column: at.column.saturating_add(1),
                ..at
            },
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// A number.
    Integer(i64),
    /// True or false, which only TOML can tell from 1 and 0.
    Boolean(bool),
    /// A string.
    Text(String),
    /// Several values.
    List(Vec<SettingValue>),
}

impl SettingValue {
    /// What kind of value it is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            SettingValue::Integer(_) => "a number",
            SettingValue::Boolean(_) => "a boolean",
            SettingValue::Text(_) => "a string",
            SettingValue::List(_) => "a list",
        }
    }
}

/// One setting, as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub name_position: Position,
    /// Its value.
    pub value: SettingValue,
    /// Where its value stands.
    pub value_position: Position,
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The place.
    pub position: Position,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// A text as people read it: on one line, and so that it does nothing to a terminal.
pub(super) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_lines_and_characters_from_one() {
        let text = "a\nbé = 1".as_bytes();
        let places = [
            (0, (1, 1)),
            (1, (1, 2)),
            (2, (2, 1)),
            (5, (2, 3)),
            (9, (2, 7)),
        ];
        for (offset, (line, column)) in places {
            let expected = Position { line, column };
            assert_eq!(Position::START.after(&text[..offset]), expected);
        }
    }
}
