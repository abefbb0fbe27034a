//! The setting `log_filters`: levels of modules, in libvirt's grammar.

use super::Level;

/// Log levels of modules (DM-1602).
///
/// ```
/// use eventryd::log::{Filters, Level};
///
/// let filters = Filters::parse("1:server.h*b 4:session").unwrap();
/// assert_eq!(filters.level_for("server.hub"), Some(Level::Debug));
/// assert_eq!(filters.level_for("session.event"), Some(Level::Error));
/// assert_eq!(filters.level_for("net"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<(Level, String)>);

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
        let matching = self
            .0
            .iter()
            .find(|(_, glob)| is_glob_match(glob.as_bytes(), source.as_bytes()));
        matching.map(|(level, _)| *level)
    }

    /// Returns the lowest level of all filters, or `None` without filters.
    #[must_use]
    pub fn lowest(&self) -> Option<Level> {
        self.0.iter().map(|(level, _)| *level).min()
    }
}

fn parse_filter(text: &str) -> Result<(Level, String), String> {
    let invalid = |why: &str| format!("filter `{text}` {why}");
    let (level, part) = split_level(text)
        .ok_or_else(|| invalid("does not begin with a level from 1 to 4 and `:`"))?;
    // Old versions of libvirt logged a stack trace for `+`; newer ones ignore it.
    let part = part.strip_prefix('+').unwrap_or(part);
    if part.is_empty() {
        return Err(invalid("has no module name after the level"));
    }
    Ok((level, format!("*{part}*")))
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

/// Returns `true` if the whole of `text` matches `glob`, in which `*` stands for any bytes and `?`
/// for one.
fn is_glob_match(glob: &[u8], text: &[u8]) -> bool {
    let (mut pattern_pos, mut text_pos) = (0, 0);
    // Positions after the last `*` and in the text, to continue at if the rest does not match. Only
    // the last `*` is extended, so the time is at most the product of the lengths.
    let mut retry = None;
    while text_pos < text.len() {
        match glob.get(pattern_pos) {
            Some(b'*') => {
                retry = Some((pattern_pos + 1, text_pos));
                pattern_pos += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[text_pos] => {
                pattern_pos += 1;
                text_pos += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    pattern_pos = after_star;
                    text_pos = from + 1;
                }
                None => return false,
            },
        }
    }
    glob[pattern_pos..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_matching_filter_applies() {
        let filters = Filters::parse(" 1:server  3:server.hub\t2:+net ").unwrap();
        assert_eq!(filters.level_for("server.hub"), Some(Level::Debug));
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
    fn pattern_matches_the_whole_name() {
        let cases = [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*d", "abcbd", true),
            ("*b*d", "abcde", false),
            ("**", "x", true),
            ("a*", "ba", false),
        ];
        for (glob, text, expected) in cases {
            assert_eq!(
                is_glob_match(glob.as_bytes(), text.as_bytes()),
                expected,
                "{glob} {text}"
            );
        }
        // A search that extends every star takes exponential time here.
        let many = "a*".repeat(200) + "b";
        assert!(!is_glob_match(
            many.as_bytes(),
            "a".repeat(20_000).as_bytes()
        ));
    }
}
