//! `log_filters`: levels of parts of the daemon, in libvirt's grammar.

use super::Level;
use wildmatch::WildMatch;

/// Levels of parts of the daemon (DM-1602).
///
/// ```
/// use eventryd::log::{Filters, Level};
///
/// let filters = Filters::parse("1:server.h*b 4:session").unwrap();
/// assert_eq!(filters.level_of("server.hub"), Some(Level::Debug));
/// assert_eq!(filters.level_of("session.event"), Some(Level::Error));
/// assert_eq!(filters.level_of("net"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters(Vec<(Level, WildMatch)>);

impl Filters {
    /// Reads `LEVEL:MATCH`, separated by spaces. One that is wrong spoils all.
    ///
    /// # Errors
    ///
    /// What is wrong, and with which.
    pub fn parse(text: &str) -> Result<Filters, String> {
        text.split_ascii_whitespace()
            .map(filter)
            .collect::<Result<_, _>>()
            .map(Filters)
    }

    /// The level of the part `source`: that of the first filter that matches.
    #[must_use]
    pub fn level_of(&self, source: &str) -> Option<Level> {
        let matching = self.0.iter().find(|(_, pattern)| pattern.matches(source));
        matching.map(|(level, _)| *level)
    }

    /// The lowest level of any part.
    #[must_use]
    pub fn lowest(&self) -> Option<Level> {
        self.0.iter().map(|(level, _)| *level).min()
    }
}

fn filter(text: &str) -> Result<(Level, WildMatch), String> {
    let wrong = |why: &str| format!("filter `{text}` {why}");
    let (level, part) = split_level(text)
        .ok_or_else(|| wrong("does not begin with a level from 1 to 4 and `:`"))?;
    // A plus once asked for stack traces; libvirt tolerates it.
    let part = part.strip_prefix('+').unwrap_or(part);
    if part.is_empty() {
        return Err(wrong("names no part of the daemon"));
    }
    Ok((level, WildMatch::new(&format!("*{part}*"))))
}

/// The level that a filter or an output begins with, and the rest.
pub(super) fn split_level(text: &str) -> Option<(Level, &str)> {
    let (level, rest) = text.split_once(':')?;
    // Only digits: a number may have a sign elsewhere.
    if !level.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Level::from_number(level.parse().ok()?)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_filter_that_matches_decides() {
        let filters = Filters::parse(" 1:server  3:server.hub\t2:+net ").unwrap();
        assert_eq!(filters.level_of("server.hub"), Some(Level::Debug));
        assert_eq!(filters.level_of("net.unix"), Some(Level::Info));
        assert_eq!(filters.level_of("session"), None);
        assert_eq!(filters.lowest(), Some(Level::Debug));
        assert_eq!(Filters::parse("").unwrap().lowest(), None);
    }

    #[test]
    fn the_filters_of_the_stock_file_are_read() {
        assert!(Filters::parse("1:qemu 1:libvirt 4:object 4:json 4:event 1:util").is_ok());
    }

    #[test]
    fn one_bad_filter_spoils_all_and_is_named() {
        for bad in [
            "server",
            "0:server",
            "5:server",
            "x:server",
            "1:",
            "1:+",
            ":server",
            "+1:server",
            "99999999999:x",
        ] {
            let said = Filters::parse(&format!("1:net {bad}")).unwrap_err();
            assert!(said.contains(&format!("`{bad}`")), "{said}");
        }
    }

    #[test]
    fn a_pattern_matches_any_part_of_a_name() {
        for (pattern, matches) in [
            ("ub", true),
            ("s*r.h?b", true),
            ("s*r.h?", true),
            ("server?hub", true),
            ("server.hub?", false),
            ("hub*server", false),
        ] {
            let filters = Filters::parse(&format!("1:{pattern}")).unwrap();
            assert_eq!(
                filters.level_of("server.hub").is_some(),
                matches,
                "{pattern}"
            );
        }
    }
}
