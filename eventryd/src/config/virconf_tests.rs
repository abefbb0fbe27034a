//! Tests of the syntax of `libvirtd.conf`.

use super::*;
use proptest::prelude::*;

fn values(text: &str) -> Vec<(String, SettingValue)> {
    let parsed = Virconf::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let settings = parsed.settings.into_iter();
    settings
        .map(|setting| (setting.name, setting.value))
        .collect()
}

fn value(text: &str) -> SettingValue {
    values(&format!("a = {text}")).remove(0).1
}

fn refused(text: &str) -> (u32, u32, String) {
    let error = Virconf::parse(text.as_bytes()).unwrap_err();
    (error.position.line, error.position.column, error.message)
}

fn text(text: &str) -> SettingValue {
    SettingValue::Text(text.to_owned())
}

#[test]
fn backslash_is_an_ordinary_character() {
    assert_eq!(
        value(r#""C=GB,O=Red Hat\, Inc\n""#),
        text(r"C=GB,O=Red Hat\, Inc\n")
    );
    assert_eq!(value(r#""a\""#), text(r"a\"));
}

#[test]
fn string_may_have_single_double_or_triple_quotes() {
    assert_eq!(value(r#"'it is "so"'"#), text(r#"it is "so""#));
    assert_eq!(value("\"it's\""), text("it's"));
    assert_eq!(
        value("\"\"\"two\nlines, 'and' \"all\" \"\"\""),
        text("two\nlines, 'and' \"all\" ")
    );
    assert_eq!(value("\"\""), text(""));
}

#[test]
fn line_ends_and_semicolons_separate_settings() {
    let expected =
        [("a", 1), ("b", 2), ("c", 3)].map(|(name, n)| (name.to_owned(), SettingValue::Integer(n)));
    for written in [
        "a=1\nb=2\r\n\n c = 3",
        "a=1;b=2 ;\n\tc=3;",
        "a=1 # one\nb=2 # ; x=9\nc=3#",
        "\r\ra=1\rb=2\rc=3",
    ] {
        assert_eq!(values(written), expected, "{written:?}");
    }
}

#[test]
fn number_may_have_a_sign_and_leading_zeros() {
    let numbers = [
        ("007", 7),
        ("+5", 5),
        ("-1", -1),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ];
    for (written, number) in numbers {
        assert_eq!(value(written), SettingValue::Integer(number));
    }
    assert_eq!(
        refused("a = 9223372036854775808"),
        (1, 5, "the number is too large".to_owned())
    );
    assert_eq!(refused("a = - 1").1, 6);
}

#[test]
fn list_may_span_lines_and_end_with_a_comma() {
    let both = SettingValue::List(vec![text("x"), text("y")]);
    for written in [
        "[\"x\",\"y\"]",
        "[\n  'x',\n\t\"y\",\n]",
        "[ \"x\" , \"y\" , ]",
    ] {
        assert_eq!(value(written), both, "{written:?}");
    }
    assert_eq!(value("[]"), SettingValue::List(Vec::new()));
}

#[test]
fn parse_returns_settings_in_file_order_with_positions() {
    let parsed = Virconf::parse(b"\n  a = 1; b = 2\na = 3").unwrap();
    let places: Vec<_> = parsed
        .settings
        .iter()
        .map(|s| {
            (
                s.name.as_str(),
                s.name_position.line,
                s.name_position.column,
                s.value_position.column,
            )
        })
        .collect();
    assert_eq!(places, [("a", 2, 3, 7), ("b", 2, 10, 14), ("a", 3, 1, 5)]);
}

#[test]
fn syntax_error_reports_its_position() {
    let cases = [
        ("a = 1 b = 2", (1, 7), "end of the line"),
        ("\n= 1", (2, 1), "name"),
        ("1a = 1", (1, 1), "name"),
        ("a: 1", (1, 2), "`=` after `a`"),
        ("a", (1, 2), "`=` after `a`"),
        ("a =", (1, 4), "a value"),
        ("a =\n1", (1, 4), "a value"),
        ("a = true", (1, 5), "a value"),
        ("a = \"x\nb = 2", (1, 5), "closing `\"`"),
        ("a = 'x", (1, 5), "closing `'`"),
        ("a = \"\"\"xyz\n\n", (1, 5), "closing `\"\"\"`"),
        ("a = [ \"x\" \"y\" ]", (1, 11), "`,` or `]`"),
        ("a = [ \"x\", # no\n]", (1, 12), "a value"),
        ("a = [ , ]", (1, 7), "a value"),
        ("a = [ \"x\",", (1, 5), "closing `]`"),
        ("a = 1;;", (1, 7), "name"),
        ("a = 1.5", (1, 6), "end of the line"),
    ];
    for (written, (line, column), said) in cases {
        let (at_line, at_column, message) = refused(written);
        assert_eq!(
            (at_line, at_column),
            (line, column),
            "{written:?}: {message}"
        );
        assert!(message.contains(said), "{written:?}: {message}");
    }
}

/// Returns the names that are read, and the positions of the errors.
fn recovered(text: &str) -> (Vec<String>, Vec<String>) {
    let (file, errors) = Virconf::parse_all(text.as_bytes());
    let names = file.settings.into_iter().map(|setting| setting.name);
    let positions = errors.iter().map(|error| error.position.to_string());
    (names.collect(), positions.collect())
}

#[test]
fn parse_all_continues_at_the_next_setting() {
    let cases: [(&str, &[&str], &[&str]); 9] = [
        ("a = 1\nb = 2", &["a", "b"], &[]),
        ("a = ?\nb = 2\nc = ?\nd = 4", &["b", "d"], &["1:5", "3:5"]),
        // The value may be that of something else, as in `0x10`.
        ("a = 1 x\nb = 2", &["b"], &["1:7"]),
        // The rest of the line is lost.
        ("a = ?; b = 2\nc = 3", &["c"], &["1:5"]),
        // The rest of a list is no further error, nor are lines without `=`.
        (
            "a = [ 'x'\n 'y',\n 'z' ]\n# b = 1\nword\n c\t= 3",
            &["c"],
            &["2:2"],
        ),
        // A list without an end: the settings in it are read.
        ("a = [ 'x',\nb = 2\n", &["b"], &["2:1"]),
        ("a = [ 'x',", &[], &["1:5"]),
        ("a = \"\"\"x\nb = 2\n", &["b"], &["1:5"]),
        ("?", &[], &["1:1"]),
    ];
    for (text, names, positions) in cases {
        let (found_names, found_positions) = recovered(text);
        assert_eq!(found_names, names, "{text:?}");
        assert_eq!(found_positions, positions, "{text:?}");
    }
    let (_, positions) = recovered(&"a = ?\n".repeat(100));
    assert_eq!(positions.len(), MAX_SYNTAX_ERRORS);
    assert_eq!(positions.last().unwrap(), "20:5");
}

#[test]
fn byte_order_mark_is_named_and_the_rest_is_read() {
    let (names, positions) = recovered("\u{feff}a = 1\nb = ?");
    assert_eq!(names, ["a"]);
    assert_eq!(positions, ["1:1", "2:5"]);
    assert!(refused("\u{feff}").2.contains("byte order mark (BOM)"));
    for text in [b"\xff\xfea\0", b"\xfe\xff\0a"] {
        let (file, errors) = Virconf::parse_all(text);
        assert!(file.settings.is_empty());
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains("UTF-16"), "{errors:?}");
    }
    // Not at the start, it is an ordinary error.
    assert!(refused("\n\u{feff}a = 1").2.contains("name of a setting"));
}

#[test]
fn depth_and_size_are_limited() {
    let deep = |depth| format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Virconf::parse(deep(16).as_bytes()).is_ok());
    assert!(refused(&deep(17)).2.contains("too deep"));
    assert!(refused(&deep(1_000_000)).2.contains("too deep"));
    let long = vec![b'\n'; MAX_FILE_SIZE + 1];
    assert!(
        Virconf::parse(&long)
            .unwrap_err()
            .message
            .contains("longer")
    );
    assert_eq!(Virconf::parse(&long[1..]), Ok(Virconf::default()));
}

#[test]
fn comment_may_have_any_encoding_but_string_is_utf8() {
    assert!(Virconf::parse(b"# caf\xe9\na = 1").is_ok());
    let error = Virconf::parse(b"a = \"caf\xe9\"").unwrap_err();
    assert!(error.message.contains("UTF-8"));
}

/// Wraps a text in a list, so that a string that ends early is a syntax error.
fn in_a_list(text: &str) -> SettingValue {
    SettingValue::List(vec![SettingValue::Text(text.to_owned())])
}

#[test]
fn string_that_no_quotes_can_hold_is_not_representable() {
    for text in ["a\n\"\"\"", "a\r\"", "'\"", "'\"\"\"b"] {
        assert!(!in_a_list(text).is_representable(), "{text:?}");
    }
    for text in ["", "\"", "'", "\"\"\"", "\"'", "\"\n'", "a\n\"\"b", "\n"] {
        assert!(in_a_list(text).is_representable(), "{text:?}");
    }
}

/// Returns names and values without positions, which differ after printing.
fn content(parsed: Virconf) -> Vec<(String, SettingValue)> {
    parsed
        .settings
        .into_iter()
        .map(|s| (s.name, s.value))
        .collect()
}

proptest! {
    #[test]
    fn displayed_settings_read_back_the_same(
        text in proptest::collection::vec(
            prop_oneof![Just("a"), Just("="), Just("1"), Just("-"), Just("\""), Just("'"), Just("\"\"\""),
                Just("["), Just("]"), Just(","), Just(" "), Just("\n"), Just("\r"), Just(";"), Just("#"), Just("\\"),
                Just("b = 2\n"), Just("c = [ 'x' ]\n")], 0..40)
    ) {
        if let Ok(parsed) = Virconf::parse(text.concat().as_bytes()) {
            let again = Virconf::parse(parsed.to_string().as_bytes()).unwrap();
            prop_assert_eq!(content(again), content(parsed));
        }
    }

    #[test]
    fn representable_value_reads_back_the_same(
        text in proptest::collection::vec(
            prop_oneof![Just("a"), Just("\""), Just("'"), Just("\"\"\""), Just("\n"), Just("\r"), Just("]")], 0..9)
    ) {
        let value = in_a_list(&text.concat());
        let read = Virconf::parse(format!("a = {value}").as_bytes());
        let reads_the_same = read.is_ok_and(|read| read.settings.len() == 1 && read.settings[0].value == value);
        prop_assert_eq!(reads_the_same, value.is_representable());
    }

    #[test]
    fn parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Virconf::parse(&bytes);
    }
}
