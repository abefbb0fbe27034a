//! The syntax of `libvirtd.conf`, rule by rule.

use super::*;
use proptest::prelude::*;

fn values(text: &str) -> Vec<(String, Value)> {
    let parsed = Virconf::parse(text.as_bytes()).unwrap_or_else(|problem| panic!("{problem:?}"));
    let settings = parsed.settings.into_iter();
    settings
        .map(|setting| (setting.name, setting.value))
        .collect()
}

fn value(text: &str) -> Value {
    values(&format!("a = {text}")).remove(0).1
}

fn refused(text: &str) -> (u32, u32, String) {
    let problem = Virconf::parse(text.as_bytes()).unwrap_err();
    (problem.at.line, problem.at.column, problem.message)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn a_backslash_is_a_backslash() {
    assert_eq!(
        value(r#""C=GB,O=Red Hat\, Inc\n""#),
        text(r"C=GB,O=Red Hat\, Inc\n")
    );
    assert_eq!(value(r#""a\""#), text(r"a\"));
}

#[test]
fn a_string_stands_in_single_double_or_triple_quotes() {
    assert_eq!(value(r#"'it is "so"'"#), text(r#"it is "so""#));
    assert_eq!(value("\"it's\""), text("it's"));
    assert_eq!(
        value("\"\"\"two\nlines, 'and' \"all\" \"\"\""),
        text("two\nlines, 'and' \"all\" ")
    );
    assert_eq!(value("\"\""), text(""));
}

#[test]
fn settings_are_separated_by_line_ends_or_semicolons() {
    let expected =
        [("a", 1), ("b", 2), ("c", 3)].map(|(name, n)| (name.to_owned(), Value::Integer(n)));
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
fn a_number_may_have_a_sign_and_leading_zeros() {
    let numbers = [
        ("007", 7),
        ("+5", 5),
        ("-1", -1),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ];
    for (written, number) in numbers {
        assert_eq!(value(written), Value::Integer(number));
    }
    assert_eq!(
        refused("a = 9223372036854775808"),
        (1, 5, "the number is too large".to_owned())
    );
    assert_eq!(refused("a = - 1").1, 6);
}

#[test]
fn a_list_may_go_over_lines_and_end_with_a_comma() {
    let both = Value::List(vec![text("x"), text("y")]);
    for written in [
        "[\"x\",\"y\"]",
        "[\n  'x',\n\t\"y\",\n]",
        "[ \"x\" , \"y\" , ]",
    ] {
        assert_eq!(value(written), both, "{written:?}");
    }
    assert_eq!(value("[]"), Value::List(Vec::new()));
}

#[test]
fn every_setting_stands_there_in_its_order_with_its_place() {
    let parsed = Virconf::parse(b"\n  a = 1; b = 2\na = 3").unwrap();
    let places: Vec<_> = parsed
        .settings
        .iter()
        .map(|s| {
            (
                s.name.as_str(),
                s.name_at.line,
                s.name_at.column,
                s.value_at.column,
            )
        })
        .collect();
    assert_eq!(places, [("a", 2, 3, 7), ("b", 2, 10, 14), ("a", 3, 1, 5)]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
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

#[test]
fn depth_and_size_have_a_limit() {
    let deep = |depth| format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Virconf::parse(deep(16).as_bytes()).is_ok());
    assert!(refused(&deep(17)).2.contains("too deep"));
    assert!(refused(&deep(1_000_000)).2.contains("too deep"));
    let long = vec![b'\n'; MAX_SIZE + 1];
    assert!(
        Virconf::parse(&long)
            .unwrap_err()
            .message
            .contains("longer")
    );
    assert_eq!(Virconf::parse(&long[1..]), Ok(Virconf::default()));
}

#[test]
fn a_comment_may_be_in_any_encoding_but_a_string_is_utf_8() {
    assert!(Virconf::parse(b"# caf\xe9\na = 1").is_ok());
    let problem = Virconf::parse(b"a = \"caf\xe9\"").unwrap_err();
    assert!(problem.message.contains("UTF-8"));
}

/// Brackets, so that what ends too early is noticed.
fn in_a_list(text: &str) -> Value {
    Value::List(vec![Value::Text(text.to_owned())])
}

#[test]
fn string_that_no_quotes_can_hold_is_not_representable() {
    for text in ["a\n\"\"\"", "a\r\"", "'\"", "'\"\"\"b"] {
        assert!(!in_a_list(text).has_notation(), "{text:?}");
    }
    for text in ["", "\"", "'", "\"\"\"", "\"'", "\"\n'", "a\n\"\"b", "\n"] {
        assert!(in_a_list(text).has_notation(), "{text:?}");
    }
}

/// Without the places, which a printed text has elsewhere.
fn content(parsed: Virconf) -> Vec<(String, Value)> {
    parsed
        .settings
        .into_iter()
        .map(|s| (s.name, s.value))
        .collect()
}

proptest! {
    #[test]
    fn what_is_read_and_written_reads_the_same(
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
        prop_assert_eq!(reads_the_same, value.has_notation());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Virconf::parse(&bytes);
    }
}
