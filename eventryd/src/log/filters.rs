//! The setting `log_filters`: levels of modules, in libvirt's grammar.

use super::Level;
use wildmatch::WildMatch;

/// Log levels of modules (DM-1602).
///
/// ```
/// use eventryd::log::{Filters, Level};
///
/// let filters = Filters::parse("1:server.i*e 4:session").unwrap();
/// assert_eq!(filters.level_for("server.idle"), Some(Level::Debug));
/// assert_eq!(filters.level_for("session.event"), Some(Level::Error));
/// assert_eq!(filters.level_for("net"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters(Vec<(Level, WildMatch)>);

impl Filters {
    /// Parses filters of the form `LEVEL:MATCH`, separated by spaces.
    ///
    /// # Errors
    ///
    /// A message that names the first invalid filter. No filter is accepted in that case.
    pub fn parse(text: &str) -> Result<Filters, String> {
        text.split_ascii_whitespace()
            .map(parse_filter)
            .collect::<Result<_, _>>()
            .map(Filters)
    }

    /// Returns the level of the first filter that matches the module `source`.
    #[must_use]
    pub fn level_for(&self, source: &str) -> Option<Level> {
        let matching = self.0.iter().find(|(_, pattern)| pattern.matches(source));
        matching.map(|(level, _)| *level)
    }

    /// Returns the lowest level of all filters, or `None` without filters.
    #[must_use]
    pub fn lowest(&self) -> Option<Level> {
        self.0.iter().map(|(level, _)| *level).min()
    }
}

fn parse_filter(text: &str) -> Result<(Level, WildMatch), String> {
    let invalid = |why: &str| format!("filter `{text}` {why}");
    let (level, part) = split_level(text)
        .ok_or_else(|| invalid("does not begin with a level from 1 to 4 and `:`"))?;
    // Old versions of libvirt logged a stack trace for `+`; newer ones ignore it.
    let part = part.strip_prefix('+').unwrap_or(part);
    if part.is_empty() {
        return Err(invalid("has no module name after the level"));
    }
    Ok((level, WildMatch::new(&format!("*{part}*"))))
}

/// Splits a filter or an output into its level and the rest.
pub(super) fn split_level(text: &str) -> Option<(Level, &str)> {
    let (level, rest) = text.split_once(':')?;
    // `parse` alone would accept a sign.
    if !level.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Level::from_number(level.parse().ok()?)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_matching_filter_applies() {
        let filters = Filters::parse(" 1:server  3:server.idle\t2:+net ").unwrap();
        assert_eq!(filters.level_for("server.idle"), Some(Level::Debug));
        assert_eq!(filters.level_for("net.unix"), Some(Level::Info));
        assert_eq!(filters.level_for("session"), None);
        assert_eq!(filters.lowest(), Some(Level::Debug));
        assert_eq!(Filters::parse("").unwrap().lowest(), None);
    }

    #[test]
    fn filters_of_the_stock_libvirtd_conf_are_accepted() {
        assert!(Filters::parse("1:qemu 1:libvirt 4:object 4:json 4:event 1:util").is_ok());
    }

    #[test]
    fn invalid_filter_rejects_the_whole_list() {
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
    fn pattern_matches_any_part_of_a_name() {
        for (pattern, matches) in [
            ("dl", true),
            ("s*r.i?le", true),
            ("s*r.i?", true),
            ("server?idle", true),
            ("server.idle?", false),
            ("idle*server", false),
        ] {
            let filters = Filters::parse(&format!("1:{pattern}")).unwrap();
            assert_eq!(
                filters.level_for("server.idle").is_some(),
                matches,
                "{pattern}"
            );
        }
    }
}
