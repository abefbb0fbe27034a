//! Check of the prose of comments and documents: forbidden words, and openings of paragraphs with a limit.
//!
//! `EVENTRY_PROSE=src/table cargo test --test repository prose -- --nocapture` lists the places in the files whose path
//! begins with this prefix.

#![allow(clippy::print_stdout, reason = "the test prints places on demand")]

mod rust;
mod text;

use crate::tree::{self, File};
use rust::{Kind, comments};
use std::fmt::Write as _;
use std::sync::LazyLock;
use text::{Block, blocks};

/// Maximum percentage of paragraphs of doc comments with an opening of [`OPENINGS`].
const OPENINGS_LIMIT_PERCENT: usize = 5;

/// Forbidden words and phrases with their replacements. Each inflected form is a separate entry.
const FORBIDDEN: &[(&str, &str)] = &[
    ("agenda", "deadline queue"),
    ("anybody", "any client, caller or thread"),
    ("anyone", "any client, caller or thread"),
    ("crowd", "the number of waiting clients"),
    ("everybody", "all clients, callers or threads"),
    ("everyone", "all clients, callers or threads"),
    ("gave way", "was evicted"),
    ("give way", "be evicted"),
    ("gives way", "is evicted"),
    ("has shown who it is", "is authenticated"),
    ("haunt", "report a stale event"),
    ("haunts", "reports a stale event"),
    ("household", "fixture"),
    ("neighbour", "other event loop, or libvirt"),
    ("neighbours", "other event loops, or libvirt"),
    ("newcomer", "pending client"),
    ("newcomers", "pending clients"),
    ("no one", "no client, caller or thread"),
    ("nobody", "no client, caller or thread"),
    ("phantom", "stale registration"),
    ("phantoms", "stale registrations"),
    ("reckoning", "oracle"),
    ("somebody", "a client, caller or thread"),
    ("someone", "a client, caller or thread"),
    ("stranger", "unauthenticated client"),
    ("strangers", "unauthenticated clients"),
    ("take note", "record"),
    ("takes note", "records"),
    ("turn away", "reject"),
    ("turned away", "rejected"),
    ("turns away", "rejects"),
    ("verdict", "decision"),
    ("whoever", "the client, caller or thread that"),
];

/// Openings of a paragraph that hide its subject.
const OPENINGS: &[&str] = &["how", "that which", "what", "whether", "which", "who"];

/// A finding in a file.
struct Place {
    path: String,
    line: usize,
    found: &'static str,
}

/// The result of a search in all files.
#[derive(Default)]
struct Prose {
    words: Vec<Place>,
    openings: Vec<Place>,
    /// Number of paragraphs of doc comments.
    paragraphs: usize,
}

impl Prose {
    fn of(files: &[File]) -> Prose {
        let mut prose = Prose::default();
        for file in files {
            match file.path.rsplit_once('.') {
                Some((_, "rs")) => prose.add_source(file),
                Some((_, "md")) => blocks(&file.text, 1)
                    .iter()
                    .for_each(|block| prose.add_words(file, block)),
                _ => {}
            }
        }
        prose
    }

    fn add_source(&mut self, file: &File) {
        for comment in comments(&file.text) {
            for block in blocks(&comment.text, comment.line) {
                self.add_words(file, &block);
                if comment.kind == Kind::Doc && block.is_paragraph {
                    self.add_opening(file, &block);
                }
            }
        }
    }

    fn add_words(&mut self, file: &File, block: &Block) {
        for start in 0..block.words.len() {
            let first = block.words[start].0.as_str();
            let phrases = FORBIDDEN.iter().map(|(phrase, _)| *phrase);
            let phrases = phrases.filter(|phrase| phrase.starts_with(first));
            let found = phrases.filter(|phrase| begins_with(&block.words[start..], phrase));
            self.words.extend(found.map(|found| Place {
                path: file.path.clone(),
                line: block.words[start].1,
                found,
            }));
        }
    }

    fn add_opening(&mut self, file: &File, block: &Block) {
        self.paragraphs += 1;
        let mut openings = OPENINGS.iter();
        if let Some(found) = openings.find(|opening| begins_with(&block.words, opening)) {
            self.openings.push(Place {
                path: file.path.clone(),
                line: block.words[0].1,
                found,
            });
        }
    }
}

fn begins_with(words: &[(String, usize)], phrase: &str) -> bool {
    let mut words = words.iter();
    phrase
        .split(' ')
        .all(|word| words.next().is_some_and(|(found, _)| found == word))
}

/// Returns a list of places, one per line, in the form that editors and terminals recognise.
fn listed<'a>(places: impl IntoIterator<Item = &'a Place>) -> String {
    places
        .into_iter()
        .fold(String::new(), |mut list, Place { path, line, found }| {
            let _ = writeln!(list, "{path}:{line}: {found}");
            list
        })
}

/// Returns the table of forbidden words for the message of a failure.
fn table() -> String {
    FORBIDDEN
        .iter()
        .fold(String::new(), |mut table, (word, better)| {
            let _ = writeln!(table, "    {word:20} {better}");
            table
        })
}

static REPOSITORY: LazyLock<Prose> = LazyLock::new(|| Prose::of(&tree::files()));

#[test]
fn there_are_no_forbidden_words() {
    let prose = &*REPOSITORY;
    assert!(
        prose.words.is_empty(),
        "{}forbidden words; replacements:\n{}",
        listed(&prose.words),
        table()
    );
}

#[test]
fn openings_are_within_the_limit() {
    let prose = &*REPOSITORY;
    let (count, paragraphs) = (prose.openings.len(), prose.paragraphs);
    assert!(
        100 * count <= OPENINGS_LIMIT_PERCENT * paragraphs,
        "{}{count} of {paragraphs} paragraphs of doc comments begin with {OPENINGS:?}, at most {OPENINGS_LIMIT_PERCENT} % allowed",
        listed(&prose.openings)
    );
}

/// Prints the places below the path in `EVENTRY_PROSE`.
#[test]
fn places_are_listed_on_demand() {
    let Ok(prefix) = std::env::var("EVENTRY_PROSE") else {
        return;
    };
    let prose = &*REPOSITORY;
    let all = prose.words.iter().chain(&prose.openings);
    println!(
        "{}",
        listed(all.filter(|place| place.path.starts_with(&prefix)))
    );
}

/// Returns a file for the tests of this check.
fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn a_planted_word_is_found_with_its_place() {
    let word = ["no", "body"].concat();
    let source = format!("/// One.\nfn f() {{\n    let x = 1; // {word}'s\n}}\n/* a\n {word} */\n");
    let document = format!("# Title\n\n- one\n  {word} here\n\n| a | {word} |\n");
    let prose = Prose::of(&[
        file("a.rs", &source),
        file("b.md", &document),
        file("c.txt", &word),
    ]);
    let expected = [("a.rs", 3), ("a.rs", 6), ("b.md", 4), ("b.md", 6)];
    let found = prose
        .words
        .iter()
        .map(|place| (place.path.as_str(), place.line));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert!(prose.words.iter().all(|place| place.found == word));
}

#[test]
fn a_planted_phrase_is_found_across_lines() {
    for (phrase, better) in FORBIDDEN {
        let text = format!(
            "/// A\n/// {}\n",
            phrase.to_uppercase().replace(' ', "\n/// ")
        );
        let prose = Prose::of(&[file("a.rs", &text)]);
        assert_eq!(listed(&prose.words), format!("a.rs:2: {phrase}\n"));
        assert!(!better.is_empty());
    }
}

#[test]
fn strings_and_code_are_left_out() {
    let word = ["some", "body"].concat();
    let source = [
        "let x = \"// W \\\" // W\"; let y = r#\"// W \" // W\"#; let z = '\"'; // fine\n",
        "fn f<'a>(x: &'a str) { g('\\'', b\"W // W\", br\"\\\", x) } // it's fine\n",
        "fn g() { h('\\\"', br\"\\\", \"// W\") }\n",
        "/// ```\n/// // W\n/// ```\n/// `W` and ``W`W`` and `W\n/// W` are code, and W_x is a name.\n",
        "fn W() {}\n",
    ]
    .concat();
    let document = "```text\nW\n```\n`W`\n~~~\nW\n~~~\n";
    let files = [("a.rs", &*source), ("b.md", document)]
        .map(|(path, text)| file(path, &text.replace('W', &word)));
    assert_eq!(listed(&Prose::of(&files).words), "");
}

#[test]
fn a_planted_opening_is_counted() {
    let source = "\
//! What it is.
//! It goes on: what it is.
//!
//! - Whether an item counts.
//! - An item.
//!
//! # How a heading counts
//!
//! | what | rows count |

/// `code` what.
fn f() {}

//// Who writes such comments.
// How a comment counts.

/// That which comes first.
///
/// That is fine, *which* is not first.
///
/// *Which* is first.
struct S;
";
    let prose = Prose::of(&[file("a.rs", source), file("b.md", "What documents do.\n")]);
    assert_eq!(
        listed(&prose.openings),
        "a.rs:1: what\na.rs:4: whether\na.rs:17: that which\na.rs:21: which\n"
    );
    assert_eq!(prose.paragraphs, 7);
}

#[test]
fn comments_are_found_beside_strings_and_lifetimes() {
    let source = "let x = \"a\\\\\"; // one\nlet y = 'a'; // two\n\n// three\n/// four\n/// five\n//! six\nfor x in r { } // seven\n/* eight /* nested */\n*/ fn f() {} // nine\n";
    let found: Vec<_> = comments(source)
        .into_iter()
        .map(|comment| (comment.kind, comment.line, comment.text))
        .collect();
    let expected = [
        (Kind::Plain, 1, " one\n two\n"),
        (Kind::Plain, 4, " three\n"),
        (Kind::Doc, 5, " four\n five\n"),
        (Kind::Doc, 7, " six\n"),
        (Kind::Plain, 8, " seven\n  eight /* nested\n\n"),
        (Kind::Plain, 10, " nine\n"),
    ];
    assert_eq!(
        found,
        expected.map(|(kind, line, text)| (kind, line, text.to_owned()))
    );
}
