//! SCRAM authentication of one client: a client authenticates exactly with a valid proof, and the daemon does not panic.
//!
//! The first byte selects the allowed users. Each step is a control byte and a payload: see `Step`. Some steps are those of
//! a correct client, with a password that may be wrong and a proof that may be damaged, so that an input can authenticate.

#![no_main]

mod client;

use client::Client;
use libfuzzer_sys::fuzz_target;

/// An action of the client.
#[derive(Debug)]
enum Step<'a> {
    /// Requests the mechanisms.
    Init,
    /// Starts with the offered or an arbitrary mechanism, and arbitrary data.
    Start(bool, &'a [u8]),
    /// Starts correctly, with a known or unknown user and this nonce.
    Begin(bool, &'a [u8]),
    /// Answers with arbitrary data.
    Answer(&'a [u8]),
    /// Sends a proof of the right or of a wrong password; the byte at this position is XORed with this value.
    Prove(bool, u8, u8),
    /// Sends an arbitrary payload to one of the procedures.
    Raw(u8, &'a [u8]),
    /// Opens the hypervisor, which requires authentication.
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
