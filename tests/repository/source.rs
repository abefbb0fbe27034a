//! A partial reader of Rust source: text without comments and literals, its words and its paths.

/// Returns the code with blanks in place of comments and of string and character literals.
pub(crate) fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_blank(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            let blank = chars[at..end].iter();
            code.extend(blank.map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Returns the end of the comment or literal that begins at `at`, or `at` if none does.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let follows = |at: usize, text: &str| {
        chars[at..]
            .iter()
            .copied()
            .take(text.len())
            .eq(text.chars())
    };
    let until = |from: usize, text: &str| {
        (from..chars.len())
            .find(|at| follows(*at, text))
            .map_or(chars.len(), |at| at + text.chars().count())
    };
    let in_word = at > 0 && is_word(chars[at - 1]);
    match chars[at] {
        '/' if follows(at, "//") => until(at, "\n") - 1,
        '/' if follows(at, "/*") => until(at + 2, "*/"),
        '"' => end_of_quoted(chars, at, '"'),
        'r' if !in_word => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if chars.get(at + 1 + hashes) == Some(&'"') {
                let closing = format!("\"{}", "#".repeat(hashes));
                until(at + 2 + hashes, &closing)
            } else {
                at
            }
        }
        // A lifetime begins with a quote as well, but has no closing quote.
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => {
            end_of_quoted(chars, at, '\'')
        }
        _ => at,
    }
}

fn end_of_quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the words of `code`, each with its position.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_first = |at: usize| !code[..at].chars().next_back().is_some_and(is_word);
    code.char_indices()
        .filter(move |(at, c)| is_word(*c) && is_first(*at))
        .map(|(at, _)| {
            let rest = &code[at..];
            (
                at,
                &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())],
            )
        })
}

/// Returns the first names of all paths that begin with `root::`; each member of a group `{…}` counts.
pub(crate) fn names_below<'a>(code: &'a str, root: &'a str) -> Vec<&'a str> {
    words(code)
        .filter(|(_, word)| *word == root)
        .filter_map(|(at, _)| code[at + root.len()..].trim_start().strip_prefix("::"))
        .flat_map(|rest| first_names(rest.trim_start()))
        .collect()
}

/// Returns the name at the beginning of `rest`, or the first names of the group there.
fn first_names(rest: &str) -> Vec<&str> {
    if !rest.starts_with('{') {
        return words(rest).take(1).map(|(_, word)| word).collect();
    }
    let mut depth = 0;
    let mut names = Vec::new();
    let mut expected = false;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if matches!(c, '{' | ',') && depth == 1 {
            expected = true;
        } else if expected && is_word(c) {
            names.extend(words(&rest[at..]).take(1).map(|(_, word)| word));
            expected = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let source = "a /* b */ 'c' \"d \\\" e\" r#\"f \" g\"# <'h> '\\'' i // j\nk";
        let found = code_of(source);
        let found: Vec<&str> = words(&found).map(|(_, word)| word).collect();
        assert_eq!(found, ["a", "h", "i", "k"]);
    }

    #[test]
    fn paths_are_read_in_groups_and_in_the_middle_of_code() {
        let code =
            "use crate::table::Call; use crate::{\n id::{HandleId, Key},\n time::MonotonicTime, Events,\n};
            fn f(x: &crate::poller::Model) { supercrate::no(); mycrate::no() }";
        let names = names_below(code, "crate");
        assert_eq!(names, ["table", "id", "time", "Events", "poller"]);
    }
}
