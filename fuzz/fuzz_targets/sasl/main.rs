//! A client that proves who it is, or does not: nobody is let in without the proof, who has it is, and nothing
//! panics.
//!
//! The first byte chooses who is allowed. Then each step is a control byte and a payload: see `Step`. Some steps
//! are a client's that plays by the rules, with a password that may be wrong and a proof that may be damaged; so
//! an input can get in, and around everything on the way.

#![no_main]

mod client;

use client::Client;
use libfuzzer_sys::fuzz_target;

/// What the client does next.
#[derive(Debug)]
enum Step<'a> {
    /// It asks for the mechanisms.
    Init,
    /// It begins with any mechanism, or with the one offered, and any data.
    Start(bool, &'a [u8]),
    /// It begins as it should, with a user that exists or not, and a nonce of its choice.
    Begin(bool, &'a [u8]),
    /// It answers anything.
    Answer(&'a [u8]),
    /// It proves that it knows the password, or does not, with one byte of the proof changed by so much.
    Prove(bool, u8, u8),
    /// It sends any payload for one of the procedures.
    Raw(u8, &'a [u8]),
    /// It tries to do something.
    Open,
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let mut client = Client::new(choice);
    for step in steps(data) {
        client.apply(&step);
    }
});

fn steps(mut data: &[u8]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    while let Some((&control, rest)) = data.split_first() {
        data = rest;
        let flag = control & 8 != 0;
        let mut payload = || {
            let (&length, rest) = data.split_first().unwrap_or((&0, &[]));
            let (payload, rest) = rest.split_at(rest.len().min(length.into()));
            data = rest;
            payload
        };
        steps.push(match control & 7 {
            0 => Step::Init,
            1 => Step::Start(flag, payload()),
            2 => Step::Begin(flag, payload()),
            3 => Step::Answer(payload()),
            4 => {
                let change = payload();
                let at = change.first().copied().unwrap_or_default();
                Step::Prove(flag, at, change.get(1).copied().unwrap_or_default())
            }
            5 | 6 => Step::Raw(control >> 3, payload()),
            _ => Step::Open,
        });
        if steps.len() == 32 {
            break;
        }
    }
    steps
}
