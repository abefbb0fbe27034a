//! Digests that identify equal states of the world.
//!
//! A key is a digest of everything that later answers can depend on: the table, read through its `Debug`
//! form because its fields are private, and the world around it. The digest abstracts from the following.
//!
//! **Names.** Serials, registrations, armings and labels come from counters that only grow, and are only
//! compared. The digest replaces each by its rank among the present ones; later ones are greater than all.
//! Times are ranked too, but the gap between two successive times keeps its length, up to one more than
//! the longest interval. A new deadline is a present time plus an interval, so its order among the other
//! times is the same in both states. The counters are left out: they are greater than every present
//! number; for serials this is an invariant checked after every op.
//!
//! **Values that are overwritten before they are read**, by inspection of the table: the ready list up to
//! the position reached; the time and the snapshot of a turn that has begun its free calls; the latest
//! time passed to the table, unless a thread still holds an earlier one.
//!
//! **The record of the call that has begun**, while the last call of a batch runs: it is the published one. A record
//! that no change has observed is overwritten by the next change. The changes and updates that were seen are left out
//! then, too.
//!
//! **The flag that due timeouts may be left in the turn.** It is true as long as one is.
//!
//! **Values that only affect the amount of work:** the radix tree of deadlines with its superseded nodes. The
//! next timeout follows from the deadlines of all timeouts and the due ones of the turn, which are part of the
//! digest (the latter in the oracle's form). The test of the order shows this, and the places of the nodes are
//! an invariant checked after every op.
//!
//! The serial of the latest flush is compared only with those of registered handles. The oracle's part has the results.
//!
//! Also left out are the list of all tokens ever used, and the label at which the entries added in the
//! turn begin. Only checks read them. Without the first, the search can miss a token that repeats after it
//! has left the state, which a counter of 32 bits does not do in a search. A wrong call that the second
//! detects differs from the oracle's call anyway.

use crate::World;
use crate::oracle::Label;
use eventry::{Events, MonotonicTime, Token};
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::hash::Hasher;

/// Computation of keys, with buffers that are reused.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Maximum length of a gap between times.
    longest_gap: u64,
    text: String,
    form: Form,
    values: [Vec<u64>; CLASSES],
}

/// A state written as words and numbers.
#[derive(Debug, Default)]
pub(crate) struct Form {
    words: Vec<u8>,
    numbers: Vec<(Class, u64)>,
}

/// Class of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Time,
    Serial,
    Arming,
    Registration,
    Label,
    /// A number that is not ranked.
    Literal,
}

/// Number of the ranked classes: those before `Literal`.
const CLASSES: usize = Class::Literal as usize;

impl Keys {
    pub(crate) fn new(longest_interval: u64) -> Keys {
        Keys {
            longest_gap: longest_interval + 1,
            text: String::new(),
            form: Form::default(),
            values: Default::default(),
        }
    }

    /// Returns the key of `world`. Different states have equal keys as rarely as 128-bit hashes collide.
    pub(crate) fn of(&mut self, world: &World) -> u128 {
        self.form.words.clear();
        self.form.numbers.clear();
        self.text.clear();
        let text = &mut self.text;
        let written = write!(text, "{:?}", world.table);
        written.expect("writing to a string does not fail");
        self.form.table(text, world);
        text.clear();
        let written = write!(text, "{:?}{:?}", world.handles, world.timeouts);
        written.expect("writing to a string does not fail");
        self.form.text(text);
        self.form.world(world);
        self.rank();
        let mut low = DefaultHasher::new();
        low.write(&self.form.words);
        let mut high = DefaultHasher::new();
        high.write_u8(1);
        high.write(&self.form.words);
        u128::from(high.finish()) << 64 | u128::from(low.finish())
    }

    /// Appends the numbers to the words; replaces those of the ranked classes by their ranks.
    fn rank(&mut self) {
        for values in &mut self.values {
            values.clear();
        }
        for (class, number) in &self.form.numbers {
            if let Some(values) = self.values.get_mut(*class as usize) {
                values.push(*number);
            }
        }
        for values in &mut self.values {
            values.sort_unstable();
            values.dedup();
        }
        for (class, number) in &self.form.numbers {
            let number = match class {
                Class::Literal => *number,
                Class::Time => {
                    let times = &self.values[Class::Time as usize];
                    let gaps = times.windows(2).take_while(|pair| pair[1] <= *number);
                    gaps.map(|pair| (pair[1] - pair[0]).min(self.longest_gap))
                        .sum()
                }
                _ => {
                    let values = &self.values[*class as usize];
                    values.partition_point(|value| value < number) as u64
                }
            };
            self.form.words.extend_from_slice(&number.to_le_bytes());
        }
    }
}

impl Form {
    /// Adds the table's `Debug` form.
    fn table(&mut self, text: &str, world: &World) {
        let (tables, rest) = split(text, ", deadlines: ");
        let (_, rest) = split(rest, ", now: ");
        let (latest, rest) = split(rest, ", armed: ");
        let (_, rest) = split(rest, ", stale: ");
        let (stale, rest) = split(rest, ", turn: Turn { ");
        // The check needs to know only that a stale token was recorded, not which one.
        let had_stale = world.stale.is_some() && stale.starts_with("Some");
        self.literal(had_stale.into());
        let (snapshot, rest) = split(rest, ", has_due_timeouts: ");
        let (_, rest) = split(rest, ", ready: [");
        let (ready, rest) = split(rest, "], looked_at: ");
        let (looked_at, rest) = split(rest, ", cursor: ");
        let (cursor, rest) = split(rest, ", refused: ");
        let (refused, rest) = split(rest, ", frees: ");
        let (frees, rest) = split(rest, ", begun: Begun { ");
        let (begun, rest) = split(rest, " }");
        self.text(refused);
        self.text(tables);
        if world.sampled.is_some() {
            self.text(latest);
        }
        self.text(frees);
        if !world.is_in_last_call() && begun.ends_with("true") {
            self.text(begun);
        }
        if frees.starts_with("None") {
            self.text(snapshot);
            if !cursor.starts_with(NO_SLOT) {
                self.text(cursor);
            }
            let looked_at = looked_at.parse().expect("`looked_at` is a number");
            for report in ready.split("Report").skip(1).skip(looked_at) {
                self.text(report);
            }
        }
        self.text(rest);
    }

    /// Adds any `Debug` form. The word before a number decides its class; other text is added unchanged.
    fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut last: &[u8] = b"";
        let mut at = 0;
        while at < bytes.len() {
            let start = at;
            let same = |byte: &u8| match bytes[start] {
                b'0'..=b'9' => byte.is_ascii_digit(),
                _ => byte.is_ascii_alphabetic() || *byte == b'_',
            };
            at += bytes[start..]
                .iter()
                .take_while(|byte| same(byte))
                .count()
                .max(1);
            if bytes[start].is_ascii_digit() {
                let digits = bytes[start..at].iter();
                let number = digits.fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
                self.number(last, number);
            } else if bytes[start].is_ascii_alphabetic() {
                last = &bytes[start..at];
                self.words.extend_from_slice(last);
            } else {
                self.words.push(bytes[start]);
            }
        }
    }

    fn number(&mut self, last: &[u8], number: u64) {
        let class = match last {
            b"MonotonicTime" => Class::Time,
            b"serial" => Class::Serial,
            b"armed" => Class::Arming,
            b"Label" => Class::Label,
            b"registration" => Class::Registration,
            b"serials" | b"registrations" | b"flushed_serial" => return,
            _ => Class::Literal,
        };
        self.numbers.push((class, number));
    }

    /// Adds the world around the table, except the ids.
    fn world(&mut self, world: &World) {
        self.time(world.now);
        self.option(world.sampled, Form::time);
        self.literal(world.stale.is_some().into());
        self.option(world.batch.as_ref(), |form, batch| {
            form.all(batch, Form::report)
        });
        // The calls themselves are in the form of the oracle.
        if world.has_calls_out() && !world.is_in_last_call() {
            self.number(b"serial", world.published);
            self.literal(
                u64::from(world.changes != world.seen) << 1 | u64::from(world.is_published),
            );
        }
        self.all(&world.lost, |form, token| form.token(token.into_bits()));
        self.all(world.mirror.registered(), |form, own| {
            form.literal(u64::from(own.fd.cast_unsigned()));
            form.report(&(own.token, own.interest));
            form.literal(own.file as u64);
        });
        self.all(world.mirror.stale(), Form::report);
        self.all(&world.mirror.unknown_files(), |form, fd| {
            form.literal(u64::from(fd.cast_unsigned()));
        });
        world.oracle.write_form(self, world);
    }

    pub(crate) fn literal(&mut self, number: u64) {
        self.numbers.push((Class::Literal, number));
    }

    pub(crate) fn time(&mut self, time: MonotonicTime) {
        self.numbers.push((Class::Time, time.as_nanos()));
    }

    pub(crate) fn labelled(&mut self, literal: u64, label: Label) {
        self.literal(literal);
        self.numbers.push((Class::Label, label.0.into()));
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Form, T)) {
        self.literal(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn all<T>(&mut self, values: &[T], write: impl Fn(&mut Form, &T)) {
        self.literal(values.len() as u64);
        for value in values {
            write(self, value);
        }
    }

    fn report(&mut self, (token, events): &(Token, Events)) {
        self.token(token.into_bits());
        self.literal(events.bits().into());
    }

    /// Adds a token: a descriptor and the number of its registration.
    fn token(&mut self, bits: u64) {
        self.literal(bits & u64::from(u32::MAX));
        self.numbers.push((Class::Registration, bits >> 32));
    }
}

/// Value of the table's cursor when the current descriptor has no more handles.
const NO_SLOT: &str = "4294967295";

/// Splits `text` at `at`.
///
/// # Panics
///
/// If the table's `Debug` form lacks the field: a changed form must fail here instead of merging states.
fn split<'a>(text: &'a str, at: &str) -> (&'a str, &'a str) {
    let halves = text.split_once(at);
    halves.unwrap_or_else(|| panic!("the table's debug form has no {at:?}: {text}"))
}
