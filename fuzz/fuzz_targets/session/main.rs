//! A client's bytes in pieces of any size, with calls answered late and output sent in pieces: the pieces do not change
//! the observable behaviour.
//!
//! The same script runs three times over a `Connection`: in one piece, in the pieces that the input selects, and byte by
//! byte. The answers, the log and the state of the session must be equal after every step, until time passes in which the
//! client is not read. A connection does not panic, its calls and output are bounded, and it comes to an end.

#![no_main]

#[path = "../pipe.rs"]
mod pipe;
mod play;
mod script;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use play::{Until, play};
use script::Script;

fuzz_target!(|bytes: &[u8]| {
    let Ok(script) = Script::read(&mut Unstructured::new(bytes)) else {
        return;
    };
    play(&script, &script.chunks, Until::Closed);
    let whole = play(&script, &[usize::MAX], Until::Unread);
    for pieces in [&script.chunks[..], &[1]] {
        assert_eq!(play(&script, pieces, Until::Unread), whole, "{script:?}");
    }
});
