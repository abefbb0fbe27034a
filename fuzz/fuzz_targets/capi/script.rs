//! The steps of a run, decoded from bytes.

use std::collections::VecDeque;
use std::ffi::c_int;

use arbitrary::{Result, Unstructured};

/// An open descriptor, or an arbitrary number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fd {
    Nth(usize),
    Raw(c_int),
}

/// An issued id of either kind, or an arbitrary number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Id {
    Nth(usize),
    Raw(c_int),
}

/// The pointers that are not NULL, and the behaviour of the free callback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) has_callback: bool,
    pub(crate) has_free: bool,
    pub(crate) acts_on_free: bool,
}

/// The function of a removal.
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
    /// Runs a turn that does not wait; inside another turn it fails.
    RunOnce,
    /// Does the same with the function that runs until a stop.
    Run,
    Stop,
    /// Reads the statistics into a buffer of this size; none is a null pointer.
    Stats(Option<usize>),
    /// Writes to the descriptor, if possible.
    Fill(usize),
    Drain(usize),
    /// Closes the descriptor, even if a handle watches it.
    Close(usize),
    /// Opens a descriptor of this kind, usually under a closed number.
    Open(usize),
    /// Makes the first number a duplicate of the second.
    Replace(usize, usize),
    /// Ends the steps of the current callback.
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

/// Reads an interest: usually of the four defined bits, sometimes of any bits.
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

/// Reads an interval: usually due at once or never, because the clock is real and no run waits for it.
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
