//! Settings as parsed from a file of either format, with their positions.

use std::fmt::{self, Write};
use std::path::Path;

/// Syntax of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigFormat {
    /// Syntax of `libvirtd.conf`.
    Libvirt,
    /// TOML.
    Toml,
}

impl ConfigFormat {
    /// Returns the format for a file name: TOML for the extension `toml`, otherwise libvirt's.
    #[must_use]
    pub fn from_path(path: &Path) -> ConfigFormat {
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            ConfigFormat::Toml
        } else {
            ConfigFormat::Libvirt
        }
    }
}

/// Position in a text. Lines and columns count from 1; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line number, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// Start of a text.
    pub const START: Position = Position { line: 1, column: 1 };

    /// Returns the position after `text`, which starts at this position.
    #[must_use]
    pub fn after(self, text: &[u8]) -> Position {
        text.iter().fold(self, |at, byte| match byte {
            b'\n' => Position {
                line: at.line.saturating_add(1),
                column: 1,
            },
            // Continuation bytes of UTF-8 belong to the character of the lead byte.
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

/// Value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// Number.
    Integer(i64),
    /// Boolean. Only TOML has booleans: libvirt's syntax uses 0 and 1.
    Boolean(bool),
    /// String.
    Text(String),
    /// List of values.
    List(Vec<SettingValue>),
}

impl SettingValue {
    /// Returns the type of the value in words, with an article, for error messages.
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

/// Setting in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name.
    pub name: String,
    /// Position of the name.
    pub name_position: Position,
    /// Value.
    pub value: SettingValue,
    /// Position of the value.
    pub value_position: Position,
}

/// Error at a position of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Position.
    pub position: Position,
    /// Error message.
    pub message: String,
}

/// Adapter that displays a text with control characters escaped.
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
