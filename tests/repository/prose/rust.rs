//! The comments of Rust source code.

/// The kinds of comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `///` or `//!`.
    Doc,
    /// `//` or a block.
    Plain,
}

/// A comment: consecutive lines of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) kind: Kind,
    /// Line of the file on which it begins, from 1.
    pub(crate) line: usize,
    /// Its text without the slashes, with a line end after each line.
    pub(crate) text: String,
}

/// Returns the comments of a source file, without text in strings that looks like a comment.
pub(crate) fn comments(source: &str) -> Vec<Comment> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut scanner = Scanner {
        rest: source,
        line: 1,
    };
    while let Some(first) = scanner.rest.chars().next() {
        let rest = scanner.rest;
        if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            let line = scanner.line;
            found.push((line, scanner.take(end).to_owned()));
        } else if rest.starts_with("/*") {
            let line = scanner.line;
            let text = scanner.take(block_length(rest));
            let lines = text.lines().map(|text| {
                let text = text.trim().trim_start_matches("/*");
                format!("// {}", text.trim_end_matches("*/"))
            });
            found.extend((line..).zip(lines));
        } else if let Some(length) = literal_length(rest, is_prefix(source, rest)) {
            scanner.take(length);
        } else {
            // Skips to the next character that may begin a comment or a literal.
            let after = first.len_utf8();
            let next = rest[after..].find(['/', '"', '\'', 'r']);
            scanner.take(next.map_or(rest.len(), |next| after + next));
        }
    }
    joined(found)
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }
}

/// Returns the length of the block comment at the start of a text; blocks can be nested.
fn block_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns true if an `r` at the start of `rest` is not the end of a longer word, so that it may begin a raw string.
fn is_prefix(source: &str, rest: &str) -> bool {
    let before = &source[..source.len() - rest.len()];
    let word = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
    ["", "b", "c"].contains(&&before[word.len()..])
}

/// Returns the length of the string or character literal at the start of a text.
fn literal_length(text: &str, may_be_raw: bool) -> Option<usize> {
    if text.starts_with('"') {
        return Some(quoted_length(text, '"'));
    }
    if let Some(inside) = text.strip_prefix('\'') {
        // A lifetime has no quote after its first character.
        let mut characters = inside.chars();
        let first = characters.next()?;
        let is_character = first == '\\' || characters.next() == Some('\'');
        return is_character.then(|| quoted_length(text, '\''));
    }
    let raw = text.strip_prefix('r').filter(|_| may_be_raw)?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let inside = raw[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Joins consecutive lines of one kind.
fn joined(lines: Vec<(usize, String)>) -> Vec<Comment> {
    let mut comments: Vec<Comment> = Vec::new();
    let mut before = (0, "");
    for (line, text) in &lines {
        let is_doc =
            text.starts_with("//!") || (text.starts_with("///") && !text.starts_with("////"));
        let (kind, slashes) = if is_doc {
            (Kind::Doc, &text[..3])
        } else {
            (Kind::Plain, "//")
        };
        let text = text[slashes.len()..].trim_end();
        match comments.last_mut() {
            Some(last) if before == (line - 1, slashes) => last.text.push_str(text),
            _ => comments.push(Comment {
                kind,
                line: *line,
                text: text.to_owned(),
            }),
        }
        comments.last_mut().expect("one was added").text.push('\n');
        before = (*line, slashes);
    }
    comments
}
