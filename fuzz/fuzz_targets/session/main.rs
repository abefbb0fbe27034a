//! A client's bytes in any chunks, with calls answered late and output sent in pieces: how the bytes are cut
//! changes nothing that can be seen.
//!
//! The same script is played three times: in one piece, in the chunks the input chooses, and byte by byte. The
//! answers, what is logged and where the session stands must be equal after every step. Besides, a session
//! never panics, what it hands out and holds as output stays bounded, and it comes to an end.

#![no_main]

mod play;
mod script;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use play::play;
use script::Script;

fuzz_target!(|bytes: &[u8]| {
    let Ok(script) = Script::read(&mut Unstructured::new(bytes)) else {
        return;
    };
    let whole = play(&script, &[usize::MAX]);
    assert_eq!(play(&script, &script.chunks), whole, "{script:?}");
    assert_eq!(play(&script, &[1]), whole, "{script:?}");
});
