//! When two states of the world are the same.
//!
//! A key is a digest of everything the future can depend on: the table, read through its `Debug` form
//! because its fields are private, and the world around it. Two things are abstracted from.
//!
//! **Names.** Serials, registrations, armings and labels come from counters that only grow, and are only
//! compared, so their ranks among those present stand for them; whatever comes later is greater than all.
//! Times are ranked too, but a gap between neighbours keeps its length up to one beyond the longest
//! interval: a new deadline is a present time plus an interval, so how it compares with the others is
//! the same for both states, and remains so. The counters themselves are left out: that they are ahead of
//! everything present is how they are used, and for serials an invariant checked after every op.
//!
//! **What is overwritten before it is read**, by inspection of the table: the ready list up to where it was
//! looked at; the time and the snapshot of a turn that has come to its free calls; and the latest time spoken of, unless a thread still holds an earlier one.
//!
//! **What only decides how much work is done:** the heap of deadlines, superseded nodes and all. Which timeout
//! is the next follows from when each is due, which is there; that it does follow is what the heap's own test
//! shows, and that the heap is in order is an invariant checked after every op.
//!
//! Left out as well are the list of all tokens ever used, and the label from which on entries are new in
//! the turn. Only checks read them. The first can hide a token that repeats after it has left every place in
//! the state, which a counter of 32 bits does not do in a search; what the second finds is a wrong call
//! anyway.

use crate::World;
use crate::oracle::Label;
use crate::world::Out;
use eventry::{Events, MonotonicTime, Token};
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::hash::Hasher;

/// Computes keys; keeps its buffers.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Gaps between times are kept up to here.
    longest_gap: u64,
    text: String,
    form: Form,
    values: [Vec<u64>; CLASSES],
}

/// A state as words and numbers.
#[derive(Debug, Default)]
pub(crate) struct Form {
    words: Vec<u8>,
    numbers: Vec<(Class, u64)>,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Time,
    Serial,
    Arming,
    Registration,
    Label,
    /// It stands for itself.
    Literal,
}

/// How many classes are ranked: those before `Literal`.
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

    /// The key of `world`. That two keys are equal by accident is as likely as for any two 128-bit
    /// hashes.
    pub(crate) fn of(&mut self, world: &World) -> u128 {
        self.form.words.clear();
        self.form.numbers.clear();
        self.text.clear();
        let text = &mut self.text;
        let written = write!(text, "{:?}", world.table);
        written.expect("a string takes whatever is written");
        self.form
            .table(text, world.sampled.is_some(), world.stale.is_some());
        text.clear();
        let written = write!(text, "{:?}{:?}", world.handles, world.timeouts);
        written.expect("a string takes whatever is written");
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

    /// Appends the numbers to the words, those of the first classes by rank.
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
    /// Takes up the table's `Debug` form.
    fn table(&mut self, text: &str, with_latest_time: bool, had_stale: bool) {
        let (tables, rest) = split(text, ", deadlines: ");
        let (_, rest) = split(rest, ", now: ");
        let (latest, rest) = split(rest, ", armed: ");
        let (_, rest) = split(rest, ", stale: ");
        let (stale, rest) = split(rest, ", turn: Turn { ");
        // Which one it is matters to nothing but the check, which wants one if there was one.
        self.literal(u64::from(had_stale && stale.starts_with("Some")));
        let (snapshot, rest) = split(rest, ", ready: [");
        let (ready, rest) = split(rest, "], looked_at: ");
        let (looked_at, rest) = split(rest, ", cursor: ");
        let (cursor, rest) = split(rest, ", refused: ");
        let (refused, rest) = split(rest, ", frees: ");
        self.text(refused);
        self.text(tables);
        if with_latest_time {
            self.text(latest);
        }
        if rest.starts_with("None") {
            self.text(snapshot);
            if !cursor.starts_with(NO_SLOT) {
                self.text(cursor);
            }
            let looked_at = looked_at.parse().expect("a number of reports");
            for report in ready.split("Report").skip(1).skip(looked_at) {
                self.text(report);
            }
        }
        self.text(rest);
    }

    /// Takes up any `Debug` form: the numbers by what the word before them says, the rest as it is.
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
            b"serials" | b"registrations" => return,
            _ => Class::Literal,
        };
        self.numbers.push((class, number));
    }

    /// Takes up everything around the table but the ids.
    fn world(&mut self, world: &World) {
        self.time(world.now);
        self.option(world.sampled, Form::time);
        self.literal(world.stale.is_some().into());
        self.option(world.batch.as_ref(), |form, batch| {
            form.all(batch, Form::report)
        });
        self.option(world.out.as_ref(), |form, out| match out {
            Out::Handle(_, label) => form.labelled(0, *label),
            Out::Timeout(_, label) => form.labelled(1, *label),
        });
        self.all(world.mirror.registered(), |form, (fd, token, interest)| {
            form.literal(u64::from(fd.cast_unsigned()));
            form.report(&(*token, *interest));
        });
        world.oracle.write_form(self, world.sampled.is_some());
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

    /// A descriptor, and which of its registrations.
    fn token(&mut self, bits: u64) {
        self.literal(bits & u64::from(u32::MAX));
        self.numbers.push((Class::Registration, bits >> 32));
    }
}

/// Where the table notes that no handle is left to look at on the descriptor last looked at.
const NO_SLOT: &str = "4294967295";

/// The table's `Debug` form is known to have these fields; a change of it must fail here and not merge
/// states.
fn split<'a>(text: &'a str, at: &str) -> (&'a str, &'a str) {
    let halves = text.split_once(at);
    halves.unwrap_or_else(|| panic!("the table shows no {at:?} in {text}"))
}
