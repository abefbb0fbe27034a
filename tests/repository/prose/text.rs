//! Markdown text: its blocks, and the words of prose in them.

/// A paragraph, an item of a list, a heading or a row of a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its words in lower case, each with its line; inline code is the word `` ` ``.
    pub(crate) words: Vec<(String, usize)>,
    /// False for headings and rows of tables.
    pub(crate) is_paragraph: bool,
}

/// Returns the blocks of a text whose first line has the number `line`. Code blocks are left out.
pub(crate) fn blocks(text: &str, line: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = Open::default();
    let mut is_code = false;
    for (number, text) in (line..).zip(text.lines()) {
        let text = text.trim();
        if text.starts_with("```") || text.starts_with("~~~") {
            open.close(&mut blocks);
            is_code = !is_code;
        } else if is_code {
        } else if text.is_empty() {
            open.close(&mut blocks);
        } else if text.starts_with(['#', '|']) {
            open.close(&mut blocks);
            open.push(text, number);
            open.is_other = true;
            open.close(&mut blocks);
        } else if let Some(item) = item(text) {
            open.close(&mut blocks);
            open.push(item, number);
        } else {
            open.push(text, number);
        }
    }
    open.close(&mut blocks);
    blocks
}

/// Returns the text of an item of a list.
fn item(text: &str) -> Option<&str> {
    let bullet = text.strip_prefix(['-', '*', '+']);
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = (digits.len() < text.len()).then(|| digits.strip_prefix('.'));
    bullet.or(numbered.flatten())?.strip_prefix(' ')
}

/// A block whose end is not reached yet.
#[derive(Default)]
struct Open {
    lines: Vec<(String, usize)>,
    is_other: bool,
}

impl Open {
    fn push(&mut self, text: &str, line: usize) {
        self.lines.push((text.to_owned(), line));
    }

    fn close(&mut self, blocks: &mut Vec<Block>) {
        let Open { lines, is_other } = std::mem::take(self);
        let words = words(&lines);
        if !words.is_empty() {
            blocks.push(Block {
                words,
                is_paragraph: !is_other,
            });
        }
    }
}

fn words(lines: &[(String, usize)]) -> Vec<(String, usize)> {
    let mut words = Vec::new();
    let mut code = String::new();
    for (text, line) in lines {
        let mut word = String::new();
        let mut rest = text.as_str();
        while let Some(character) = rest.chars().next() {
            if character == '`' {
                let ticks = &rest[..rest.len() - rest.trim_start_matches('`').len()];
                rest = &rest[ticks.len()..];
                if code.is_empty() {
                    ticks.clone_into(&mut code);
                    push(&mut words, &mut word, *line);
                    words.push(("`".to_owned(), *line));
                } else if code == ticks {
                    code.clear();
                }
                continue;
            }
            rest = &rest[character.len_utf8()..];
            if !code.is_empty() {
                continue;
            }
            if character.is_alphanumeric() || character == '_' {
                word.extend(character.to_lowercase());
            } else {
                push(&mut words, &mut word, *line);
            }
        }
        push(&mut words, &mut word, *line);
    }
    words
}

fn push(words: &mut Vec<(String, usize)>, word: &mut String, line: usize) {
    if !word.is_empty() {
        words.push((std::mem::take(word), line));
    }
}
