//! Parser of `eventryd.toml`: the settings of `libvirtd.conf` in TOML.

use super::text::{ParseError, Position, Setting, SettingValue};
use super::virconf::MAX_FILE_SIZE;
use std::ops::Range;
use toml::de::{DeInteger, DeTable, DeValue};

/// Parses a text of at most [`MAX_FILE_SIZE`] bytes into settings, in the order of the file. Tables
/// are errors.
///
/// # Errors
///
/// All syntax errors (at most one per line) or, if there are none, all values of a type that no
/// setting has.
pub fn parse(text: &[u8]) -> Result<Vec<Setting>, Vec<ParseError>> {
    let parse_error = |offset: usize, message: String| ParseError {
        position: Position::START.after(&text[..offset.min(text.len())]),
        message,
    };
    if text.len() > MAX_FILE_SIZE {
        let message = format!("the file is longer than {MAX_FILE_SIZE} bytes");
        return Err(vec![parse_error(0, message)]);
    }
    let utf8 = std::str::from_utf8(text).map_err(|error| {
        vec![parse_error(
            error.valid_up_to(),
            "the file is not UTF-8".to_owned(),
        )]
    })?;
    let (table, errors) = DeTable::parse_recoverable(utf8);
    if !errors.is_empty() {
        let errors = errors.iter().map(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            parse_error(offset, error.message().to_owned())
        });
        let mut errors: Vec<ParseError> = errors.collect();
        errors.sort_by_key(|error| error.position);
        // Further errors on the same line are usually consequences of the first.
        errors.dedup_by_key(|error| error.position.line);
        return Err(errors);
    }
    let mut spans: Vec<(Range<usize>, Range<usize>, String, DeValue<'_>)> = table
        .into_inner()
        .into_iter()
        .map(|(name, value)| {
            let spans = (name.span(), value.span());
            (
                spans.0,
                spans.1,
                name.into_inner().into_owned(),
                value.into_inner(),
            )
        })
        .collect();
    // `DeTable` is sorted by name; errors are reported in the order of the file.
    spans.sort_by_key(|(name_span, ..)| name_span.start);
    let mut settings = Vec::new();
    let mut errors = Vec::new();
    let mut last = (0, Position::START);
    let mut position = |offset: usize| {
        // Offsets can go back, because dotted keys define the same table at several places.
        let from = if offset < last.0 {
            (0, Position::START)
        } else {
            last
        };
        last = (offset, from.1.after(&text[from.0..offset]));
        last.1
    };
    for (name_span, value_span, name, value) in spans {
        let name_position = position(name_span.start);
        match convert(value) {
            Ok(value) => settings.push(Setting {
                name,
                name_position,
                value,
                value_position: position(value_span.start),
            }),
            Err(found) => errors.push(ParseError {
                position: name_position,
                message: format!(
                    "`{name}` is {found}; a setting is a number, a boolean, a string or a list"
                ),
            }),
        }
    }
    if errors.is_empty() {
        Ok(settings)
    } else {
        Err(errors)
    }
}

/// Converts a value, or returns its type in words if no setting has that type.
fn convert(value: DeValue<'_>) -> Result<SettingValue, &'static str> {
    Ok(match value {
        DeValue::String(text) => SettingValue::Text(text.into_owned()),
        DeValue::Integer(number) => SettingValue::Integer(integer(&number)?),
        DeValue::Boolean(is) => SettingValue::Boolean(is),
        DeValue::Array(values) => SettingValue::List(
            values
                .into_iter()
                .map(|value| convert(value.into_inner()))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Float(_) => return Err("a number with a fraction"),
        DeValue::Datetime(_) => return Err("a date"),
        DeValue::Table(_) => return Err("a table"),
    })
}

fn integer(number: &DeInteger<'_>) -> Result<i64, &'static str> {
    i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| "a number that is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<(u32, u32, String)> {
        let errors = parse(text.as_bytes()).unwrap_err().into_iter();
        errors
            .map(|error| (error.position.line, error.position.column, error.message))
            .collect()
    }

    #[test]
    fn parse_returns_settings_in_file_order_with_positions() {
        let text =
            "max_clients = 0x10\n\nlisten_tcp = true\naccess_drivers = [ # none\n  'x',\n]\n";
        let settings = parse(text.as_bytes()).unwrap();
        let list = SettingValue::List(vec![SettingValue::Text("x".to_owned())]);
        let expected = [
            ("max_clients", 1, 15, SettingValue::Integer(16)),
            ("listen_tcp", 3, 14, SettingValue::Boolean(true)),
            ("access_drivers", 4, 18, list),
        ];
        assert_eq!(settings.len(), expected.len());
        for (setting, (name, line, column, value)) in settings.into_iter().zip(expected) {
            assert_eq!((setting.name.as_str(), setting.value), (name, value));
            assert_eq!(setting.name_position, Position { line, column: 1 });
            assert_eq!(setting.value_position, Position { line, column });
        }
    }

    #[test]
    fn parse_reports_all_errors_with_positions() {
        let found = refused("a = 1\nb = \"x\nc = = 1\n");
        assert_eq!(
            found.iter().map(|(line, ..)| *line).collect::<Vec<_>>(),
            [2, 3],
            "{found:?}"
        );
        let found = refused("[server]\nx = 1\n");
        assert!(found[0].2.contains("`server` is a table"), "{found:?}");
        let found = refused("a = 1.5\nb.c = 1\nd = 99999999999999999999\ne = 2020-01-01");
        let said: Vec<&str> = found.iter().map(|(.., said)| said.as_str()).collect();
        for (said, part) in said
            .iter()
            .zip(["fraction", "a table", "too large", "a date"])
        {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(said.len(), 4);
    }

    #[test]
    fn duplicate_name_is_rejected() {
        let found = refused("a = 1\na = 2\n");
        assert_eq!(found[0].0, 2);
        assert!(found[0].2.contains("duplicate"), "{found:?}");
    }

    #[test]
    fn invalid_utf8_is_rejected_with_its_position() {
        let errors = parse(b"a = 1\nb = \"\xff\"").unwrap_err();
        assert_eq!(errors[0].position, Position { line: 2, column: 6 });
    }

    #[test]
    fn deeply_nested_list_is_rejected() {
        let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(deep.as_bytes()).is_err());
    }
}
