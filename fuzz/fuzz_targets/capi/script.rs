//! Everything that happens, made of bytes.

use std::collections::VecDeque;
use std::ffi::c_int;

use arbitrary::{Result, Unstructured};

/// Names a descriptor: one of those there are, or a number that comes from nowhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fd {
    Nth(usize),
    Raw(c_int),
}

/// Names an entry: one of all ids ever issued, of either kind, or a number that comes from nowhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Id {
    Nth(usize),
    Raw(c_int),
}

/// Which pointers are NULL, and whether the free callback does something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) has_callback: bool,
    pub(crate) has_free: bool,
    pub(crate) acts_on_free: bool,
}

/// Which removal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RemovalKind {
    Plain,
    Status,
    Wait,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    AddHandle(Fd, c_int, Shape),
    UpdateHandle(Id, c_int),
    RemoveHandle(Id, RemovalKind),
    AddTimeout(c_int, Shape),
    UpdateTimeout(Id, c_int),
    RemoveTimeout(Id, RemovalKind),
    /// A turn that does not wait; inside another one it is refused.
    RunOnce,
    /// The same through the function that runs until it is stopped.
    Run,
    Stop,
    /// The statistics, for a caller who knows so many bytes of them.
    Stats(Option<usize>),
    /// Makes the descriptor ready, as far as it can be.
    Fill(usize),
    Drain(usize),
    /// Closes it, whatever watches it.
    Close(usize),
    /// Opens another one of this kind, usually under a number that was closed.
    Open(usize),
    /// Closes the first, and makes its number another one for the second.
    Replace(usize, usize),
    /// The callback that runs is done.
    End,
}

pub(crate) fn read(from: &mut Unstructured<'_>) -> Result<VecDeque<Step>> {
    let mut steps = VecDeque::new();
    while !from.is_empty() {
        steps.push_back(step(from)?);
    }
    Ok(steps)
}

fn step(from: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match from.int_in_range(0..=39_u8)? {
        0..=6 => {
            let word: u8 = from.arbitrary()?;
            Step::AddHandle(fd(from)?, events(from)?, shape(word))
        }
        7..=8 => Step::UpdateHandle(id(from)?, events(from)?),
        9..=12 => {
            let kind = removal_kind(from.arbitrary()?);
            Step::RemoveHandle(id(from)?, kind)
        }
        13..=16 => {
            let word: u8 = from.arbitrary()?;
            Step::AddTimeout(milliseconds(from)?, shape(word))
        }
        17..=18 => Step::UpdateTimeout(id(from)?, milliseconds(from)?),
        19..=21 => {
            let kind = removal_kind(from.arbitrary()?);
            Step::RemoveTimeout(id(from)?, kind)
        }
        22..=26 => Step::RunOnce,
        27 => Step::Run,
        28 => Step::Stop,
        29 => {
            let size: u8 = from.arbitrary()?;
            Step::Stats((size < 0xf0).then_some(usize::from(size)))
        }
        30..=31 => Step::Fill(nth(from)?),
        32 => Step::Drain(nth(from)?),
        33 => Step::Close(nth(from)?),
        34 => Step::Open(nth(from)?),
        35 => Step::Replace(nth(from)?, nth(from)?),
        _ => Step::End,
    })
}

fn nth(from: &mut Unstructured<'_>) -> Result<usize> {
    Ok(from.arbitrary::<u8>()?.into())
}

/// Mostly the four bits, sometimes any.
fn events(from: &mut Unstructured<'_>) -> Result<c_int> {
    Ok(match from.arbitrary::<u8>()? {
        0xff => from.arbitrary()?,
        bits => c_int::from(bits & 15),
    })
}

fn fd(from: &mut Unstructured<'_>) -> Result<Fd> {
    Ok(match from.arbitrary::<u8>()? {
        0xff => Fd::Raw(-1),
        0xfe => Fd::Raw(c_int::MIN),
        0xfd => Fd::Raw(c_int::MAX),
        0xfc => Fd::Raw(from.int_in_range(1_000..=100_000)?),
        nth => Fd::Nth(nth.into()),
    })
}

fn id(from: &mut Unstructured<'_>) -> Result<Id> {
    Ok(match from.arbitrary::<u8>()? {
        0xff => Id::Raw(from.arbitrary()?),
        0xfe => Id::Raw(-1),
        0xfd => Id::Raw(0),
        0xfc => Id::Raw(c_int::MAX),
        nth => Id::Nth(nth.into()),
    })
}

/// Mostly due at once or never: the clock is the real one, and nobody waits for it.
fn milliseconds(from: &mut Unstructured<'_>) -> Result<c_int> {
    Ok(match from.arbitrary::<u8>()? {
        0..=127 => 0,
        128..=159 => -1,
        160..=191 => c_int::MAX,
        _ => from.arbitrary()?,
    })
}

fn shape(word: u8) -> Shape {
    Shape {
        has_callback: word & 7 != 7,
        has_free: word & 0x30 != 0x30,
        acts_on_free: word & 0xc0 == 0xc0,
    }
}

fn removal_kind(word: u8) -> RemovalKind {
    match word % 3 {
        0 => RemovalKind::Plain,
        1 => RemovalKind::Status,
        _ => RemovalKind::Wait,
    }
}
