//! Format of a log line, and escaping of the text in it.

use super::Level;
use std::fmt::{self, Write};
use std::time::Duration;

/// Maximum length of the text of a line in bytes. The text is cut there.
pub const MAX_TEXT_LEN: usize = 4096;

/// Contents of a log line.
#[derive(Clone, Debug)]
pub struct LogLine<'a> {
    /// Time since 1970-01-01 00:00 UTC.
    pub time: Duration,
    /// Thread ID of the kernel.
    pub thread: u32,
    /// Level.
    pub level: Level,
    /// Module of the event, for example `server.client`.
    pub source: &'a str,
    /// Line in the source file.
    pub source_line: u32,
    /// Text, already escaped by [`EscapedText`].
    pub text: &'a str,
}

/// Writes `YYYY-MM-DD hh:mm:ss.mmm+0000: thread: level : source:line : text` (DM-1604).
impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}+0000: {}: {} : {}:{} : {}",
            self.time.subsec_millis(),
            self.thread,
            self.level,
            self.source,
            self.source_line,
            self.text
        )
    }
}

/// Converts days since 1970-01-01 to year, month and day.
fn date(days: u64) -> (u64, u64, u64) {
    // Days count from 1 March of year 0, so that a leap day is the last day of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Collector of text for a log line.
///
/// The result is one line of bounded length: characters that end a line, control a terminal or
/// change the text direction are escaped, and text beyond [`MAX_TEXT_LEN`] is replaced by its
/// length.
///
/// ```
/// use eventryd::log::EscapedText;
/// use std::fmt::Write;
///
/// let mut text = EscapedText::default();
/// write!(text, "client {} says {}", 7, "hello\n2026-01-01 error : forged\x1b[2J").unwrap();
/// assert_eq!(text.finish(), "client 7 says hello\\n2026-01-01 error : forged\\u{1b}[2J");
/// ```
#[derive(Debug, Default)]
pub struct EscapedText {
    text: String,
    omitted: usize,
}

impl EscapedText {
    /// Returns the text, followed by the number of omitted bytes if it was cut.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.omitted > 0 {
            let _ = write!(self.text, "... ({} bytes more)", self.omitted);
        }
        self.text
    }
}

impl Write for EscapedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.text.len() >= MAX_TEXT_LEN {
                self.omitted += c.len_utf8();
            } else if is_control_or_format(c) {
                self.text.extend(c.escape_default());
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}

/// Returns `true` for a character that ends a line, controls a terminal or changes the text
/// direction.
fn is_control_or_format(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escape(text: &str) -> String {
        let mut collected = EscapedText::default();
        collected.write_str(text).unwrap();
        collected.finish()
    }

    #[test]
    fn line_has_the_format_of_libvirt() {
        let line = LogLine {
            time: Duration::from_millis(1_700_000_000_123),
            thread: 4711,
            level: Level::Warning,
            source: "server.client",
            source_line: 12,
            text: "the disk is full",
        };
        assert_eq!(
            line.to_string(),
            "2023-11-14 22:13:20.123+0000: 4711: warning : server.client:12 : the disk is full"
        );
    }

    #[test]
    fn date_converts_days_since_1970() {
        let days = [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (10_957, (2000, 1, 1)),
            (11_016, (2000, 2, 29)),
            (19_723, (2024, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
            (20_780, (2026, 11, 23)),
        ];
        for (day, expected) in days {
            assert_eq!(date(day), expected, "{day}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            escape("a\r\nb\tc\0d\u{7f}\u{85}\u{2028}\u{202e}é"),
            "a\\r\\nb\\tc\\u{0}d\\u{7f}\\u{85}\\u{2028}\\u{202e}é"
        );
    }

    #[test]
    fn long_text_is_cut_and_omitted_bytes_counted() {
        let text = escape(&"x".repeat(MAX_TEXT_LEN + 7));
        assert_eq!(text, "x".repeat(MAX_TEXT_LEN) + "... (7 bytes more)");
    }

    proptest! {
        #[test]
        fn any_text_gives_one_line_of_bounded_length(
            text in proptest::collection::vec(prop_oneof![any::<char>(), proptest::char::range('\0', '\u{9f}'), proptest::char::range('\u{2000}', '\u{2070}')], 0..50)
        ) {
            let text = escape(&text.into_iter().collect::<String>());
            prop_assert!(!text.contains(is_control_or_format));
            prop_assert!(text.len() < MAX_TEXT_LEN + 64);
        }
    }
}
