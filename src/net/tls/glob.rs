//! The patterns of allow lists (DM-1205).

/// Whether all of `text` is what `pattern` describes: `*` stands for any characters, also none, `?` for
/// one, everything else for itself. The time is at most the product of both lengths.
///
/// ```
/// use eventry::net::tls::glob_matches;
///
/// assert!(glob_matches("C=GB,*,CN=client?", "C=GB,O=Red Hat,CN=client1"));
/// assert!(!glob_matches("CN=client", "CN=client1"));
/// ```
#[must_use]
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on when what follows the last star does not fit after all.
    let mut last_star = None;
    loop {
        let rest = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                last_star = Some((pattern.clone(), rest.clone()));
                text = rest;
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            (_, None) => return false,
            _ => {
                let Some((after_star, from)) = &mut last_star else {
                    return false;
                };
                // The star stands for one character more.
                from.next();
                (pattern, text) = (after_star.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_describes_the_whole_text() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*b*", "aaab", true),
            ("*ab", "aab", true),
            ("*aab*", "aaaab", true),
            ("?", "é", true),
            ("?", "", false),
            ("a?c", "ac", false),
            ("**a", "ba", true),
            ("[a]", "a", false),
            ("CN=x", "O=y,CN=x", false),
        ] {
            assert_eq!(glob_matches(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!glob_matches(&pattern, &"a".repeat(5000)));
    }
}
