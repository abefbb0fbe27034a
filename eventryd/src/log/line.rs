//! A line of the log: libvirt's form, and nothing in it that could be taken for another line.

use super::Level;
use std::fmt::{self, Write};
use std::time::Duration;

/// How long the text of a line may be, in bytes; what is beyond is counted.
pub const MAX_TEXT: usize = 4096;

/// What a line says.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Since 1970, in UTC.
    pub time: Duration,
    /// The thread, by the number that the system gives it.
    pub thread: u32,
    /// How important it is.
    pub level: Level,
    /// The part of the daemon that says it, and where.
    pub source: &'a str,
    /// The line of the source.
    pub source_line: u32,
    /// What it says. Escaped already: [`Text`].
    pub text: &'a str,
}

/// `YYYY-MM-DD hh:mm:ss.mmm+0000: thread: level : source:line : text` (DM-1604).
impl fmt::Display for Line<'_> {
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

/// Year, month and day of a day counted from 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of the year 0, a leap day is the last of its year.
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

/// Collects text for a line: of one line, without what would steer a terminal, of a bounded length.
///
/// ```
/// use eventryd::log::Text;
/// use std::fmt::Write;
///
/// let mut text = Text::default();
/// write!(text, "client {} says {}", 7, "hello\n2026-01-01 error : forged\x1b[2J").unwrap();
/// assert_eq!(text.finish(), "client 7 says hello\\n2026-01-01 error : forged\\u{1b}[2J");
/// ```
#[derive(Debug, Default)]
pub struct Text {
    text: String,
    left_out: usize,
}

impl Text {
    /// What was collected.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.left_out > 0 {
            let _ = write!(self.text, "... ({} bytes more)", self.left_out);
        }
        self.text
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.text.len() >= MAX_TEXT {
                self.left_out += c.len_utf8();
            } else if steers(c) {
                self.text.extend(c.escape_default());
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}

/// Whether a character ends lines, steers terminals or changes the direction of what is around it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut collected = Text::default();
        collected.write_str(text).unwrap();
        collected.finish()
    }

    #[test]
    fn a_line_has_the_form_of_libvirt() {
        let line = Line {
            time: Duration::from_millis(1_700_000_000_123),
            thread: 4711,
            level: Level::Warning,
            source: "server.hub",
            source_line: 12,
            text: "it rains",
        };
        assert_eq!(
            line.to_string(),
            "2023-11-14 22:13:20.123+0000: 4711: warning : server.hub:12 : it rains"
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
    fn what_a_client_says_stays_on_its_line() {
        assert_eq!(
            escaped("a\r\nb\tc\0d\u{7f}\u{85}\u{2028}\u{202e}é"),
            "a\\r\\nb\\tc\\u{0}d\\u{7f}\\u{85}\\u{2028}\\u{202e}é"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_its_rest_counted() {
        let text = escaped(&"x".repeat(MAX_TEXT + 7));
        assert_eq!(text, "x".repeat(MAX_TEXT) + "... (7 bytes more)");
    }

    proptest! {
        #[test]
        fn no_text_makes_two_lines_or_a_long_one(
            text in proptest::collection::vec(prop_oneof![any::<char>(), proptest::char::range('\0', '\u{9f}'), proptest::char::range('\u{2000}', '\u{2070}')], 0..50)
        ) {
            let text = escaped(&text.into_iter().collect::<String>());
            prop_assert!(!text.contains(steers));
            prop_assert!(text.len() < MAX_TEXT + 64);
        }
    }
}
