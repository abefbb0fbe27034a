//! Dates in certificates and revocation lists, as seconds since 1970.

use super::der::{DerReader, Malformed, tag};

/// Reads a date as seconds since 1970: `YYMMDDhhmmssZ` for the years 1950 to 2049, or
/// `YYYYMMDDhhmmssZ`.
pub(super) fn read_date(from: &mut DerReader<'_>) -> Result<i64, Malformed> {
    let value = from.read_element()?;
    let text = std::str::from_utf8(value.content).map_err(|_| Malformed)?;
    let (year_digits, text) = match (value.tag, text.len()) {
        (tag::UTC_TIME, 13) => text.split_at_checked(2),
        (tag::GENERALIZED_TIME, 15) => text.split_at_checked(4),
        _ => None,
    }
    .ok_or(Malformed)?;
    let parse_digits = |digits: &str| -> Result<i64, Malformed> {
        let are_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
        are_digits
            .then(|| digits.parse().ok())
            .flatten()
            .ok_or(Malformed)
    };
    let year = match (year_digits.len(), parse_digits(year_digits)?) {
        (2, year @ ..50) => 2000 + year,
        (2, year) => 1900 + year,
        (_, year) => year,
    };
    let field = |at: usize| text.get(at..at + 2).ok_or(Malformed).and_then(parse_digits);
    let (month, day) = (field(0)?, field(2)?);
    let (hour, minute, second) = (field(4)?, field(6)?, field(8)?);
    let is_valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && text.ends_with('Z');
    if !is_valid {
        return Err(Malformed);
    }
    Ok(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Returns the number of days from 1970-01-01 to a date. Years begin on 1 March here, so that the
/// leap day is the last day of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + leap_days + day_of_year - 719_468
}

/// Formats seconds since 1970 as a date and time in UTC, for messages.
pub(super) fn format_date(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Returns year, month and day, given the number of days since 1970-01-01. Years begin on 1 March as in
/// [`days_since_1970`], and the calendar repeats after 400 years.
fn date_of(days: i64) -> (i64, i64, i64) {
    const PERIOD: i64 = 400 * 365 + 97;
    let since_0 = days + 719_468;
    let day = since_0.rem_euclid(PERIOD);
    let year = (day - day / 1460 + day / 36_524 - day / (PERIOD - 1)) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year + 400 * since_0.div_euclid(PERIOD);
    if month < 10 {
        (year, month + 3, day_of_month)
    } else {
        (year + 1, month - 9, day_of_month)
    }
}

#[cfg(test)]
mod tests {
    use super::super::der::write_element;
    use super::*;
    use proptest::prelude::*;

    fn parse_date(kind: u8, text: &str) -> Result<i64, Malformed> {
        let mut bytes = Vec::new();
        write_element(&mut bytes, kind, text.as_bytes());
        read_date(&mut DerReader::new(&bytes))
    }

    #[test]
    fn dates_are_seconds_since_1970() {
        for (kind, text, seconds) in [
            (tag::UTC_TIME, "700101000000Z", 0),
            (tag::UTC_TIME, "691231235959Z", -1),
            (tag::UTC_TIME, "240229120000Z", 1_709_208_000),
            (tag::UTC_TIME, "491231235959Z", 2_524_607_999),
            (tag::GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (tag::GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(parse_date(kind, text), Ok(seconds), "{text}");
        }
        for text in [
            "7001010000Z",
            "701301000000Z",
            "70010100000éZ",
            "+00101000000Z",
        ] {
            assert_eq!(parse_date(tag::UTC_TIME, text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn date_with_a_part_out_of_range_is_malformed() {
        for (text, is_valid) in [
            ("20240101000000Z", true),
            ("20241231235959Z", true),
            ("20240001000000Z", false),
            ("20241301000000Z", false),
            ("20240100000000Z", false),
            ("20240132000000Z", false),
            ("20240101240000Z", false),
            ("20240101006000Z", false),
            ("20240101000060Z", false),
            ("202401010000000", false),
            ("2024010100000Z", false),
            ("2024010100000aZ", false),
        ] {
            let found = parse_date(tag::GENERALIZED_TIME, text);
            assert_eq!(found.is_ok(), is_valid, "{text}");
            // A type with the length of another one, and no date at all.
            assert_eq!(parse_date(tag::UTC_TIME, text), Err(Malformed));
            assert_eq!(parse_date(tag::OCTET_STRING, text), Err(Malformed));
        }
    }

    #[test]
    fn formatted_date_is_that_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_208_061, "2024-02-29 12:01:01 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(format_date(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn formatted_date_is_read_back(seconds in -62_135_596_800i64..=253_402_300_799) {
            let digits: String = format_date(seconds)
                .chars()
                .filter(char::is_ascii_digit)
                .collect();
            prop_assert_eq!(parse_date(tag::GENERALIZED_TIME, &(digits + "Z")), Ok(seconds));
        }

        #[test]
        fn date_of_any_text_does_not_panic(text: String) {
            for kind in [tag::UTC_TIME, tag::GENERALIZED_TIME] {
                if text.len() < 100 {
                    let _ = parse_date(kind, &text);
                }
            }
        }
    }
}
