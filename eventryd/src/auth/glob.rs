//! Patterns of names.

use wildmatch::WildMatch;

/// Returns `true` if the whole of `text` matches `pattern`, in which `*` stands for any characters
/// and `?` for exactly one. Every other character stands for itself. `sasl_allowed_username_list`
/// and `tls_allowed_dn_list` have such patterns.
///
/// The time is proportional to the product of the lengths at most.
///
/// ```
/// use eventryd::auth::matches_glob;
///
/// assert!(matches_glob("*@EXAMPLE.COM", "fred@EXAMPLE.COM"));
/// assert!(matches_glob("fre?", "fred"));
/// assert!(!matches_glob("fred", "freda"));
/// assert!(matches_glob("C=GB,*,CN=client?", "C=GB,O=Red Hat,CN=client1"));
/// ```
#[must_use]
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Naive recursive matcher, as an oracle.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (Some(('?', rest)), Some((_, left))) => naive(rest, left),
            (Some((expected, rest)), Some((found, left))) => expected == found && naive(rest, left),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_glob_equals_a_naive_matcher(
            pattern in r"[ab*?é]{0,8}|[\[{\\/*?]{0,8}",
            text in r"[abé]{0,8}|[\[{\\/*?]{0,8}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches_glob(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
        }
    }

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
            ("*b*d", "abcbd", true),
            ("*b*d", "abcde", false),
            ("a*", "ba", false),
            ("**", "x", true),
            ("*ab", "aab", true),
            ("*aab*", "aaaab", true),
            ("?", "é", true),
            ("?", "", false),
            ("a?c", "ac", false),
            ("**a", "ba", true),
            ("[a]", "a", false),
            ("[a]", "[a]", true),
            ("{a,b}", "a", false),
            ("a\\*", "a*", false),
            ("a\\*", "a\\b", true),
            ("*", "a/b", true),
            ("?", "/", true),
            ("A", "a", false),
            ("CN=x", "O=y,CN=x", false),
        ] {
            assert_eq!(matches_glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn pattern_with_many_stars_takes_polynomial_time() {
        let pattern = "a*".repeat(100) + "c";
        assert!(!matches_glob(&pattern, &"ab".repeat(5_000)));
        let pattern = "*a".repeat(200) + "b";
        assert!(!matches_glob(&pattern, &"a".repeat(5_000)));
    }
}
