//! The transport of a fuzzed connection, which delivers the client's bytes in pieces and accepts limited output.

use eventryd::connection::{Amount, Discarded, Handshake, ReadOutcome, Transport, TransportError};
use std::cell::RefCell;
use std::rc::Rc;

/// The client's end of the pipe.
#[derive(Debug, Default)]
pub(crate) struct PipeState {
    /// Bytes of the client that the daemon has not read.
    pub(crate) unread: Vec<u8>,
    /// Lengths of the pieces that are read, repeated cyclically; if empty, everything is read at once.
    pub(crate) pieces: Vec<usize>,
    pub(crate) next_piece: usize,
    /// The client has closed its sending side.
    pub(crate) ended: bool,
    /// The number of bytes of the handshake that the daemon has not read.
    pub(crate) handshake: usize,
    /// Maximum length of the next write, in bytes.
    pub(crate) room: usize,
    /// Bytes that were written to the client.
    pub(crate) sent: Vec<u8>,
}

/// The daemon's end of the pipe.
#[derive(Debug)]
pub(crate) struct Pipe(pub(crate) Rc<RefCell<PipeState>>);

impl Transport for Pipe {
    fn read(&mut self, mut plaintext: impl FnMut(&[u8])) -> Result<ReadOutcome, TransportError> {
        let state = &mut *self.0.borrow_mut();
        let mut outcome = ReadOutcome {
            amount: Amount::Nothing,
            ended: false,
            handshake: None,
        };
        if state.unread.is_empty() {
            if state.ended {
                (outcome.amount, outcome.ended) = (Amount::Short, true);
            }
            return Ok(outcome);
        }
        let length = match &state.pieces[..] {
            [] => usize::MAX,
            pieces => pieces[state.next_piece % pieces.len()],
        };
        state.next_piece += 1;
        let rest = state.unread.split_off(state.unread.len().min(length));
        let read = std::mem::replace(&mut state.unread, rest);
        let (of_handshake, messages) = read.split_at(read.len().min(state.handshake));
        if !of_handshake.is_empty() {
            state.handshake -= of_handshake.len();
            outcome.handshake = (state.handshake == 0).then_some(Handshake {
                name: None,
                warning: None,
            });
        }
        if !messages.is_empty() {
            plaintext(messages);
        }
        outcome.amount = Amount::Full;
        Ok(outcome)
    }

    /// Accepts one write per turn, so that the number of writes does not depend on the pieces of the input.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let state = &mut *self.0.borrow_mut();
        let count = bytes.len().min(std::mem::take(&mut state.room));
        state.sent.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    fn wants_write(&self) -> bool {
        false
    }

    fn is_open(&self) -> bool {
        self.0.borrow().handshake == 0
    }

    fn close_notify(&mut self) {}

    fn begin_linger(&mut self) -> bool {
        false
    }

    fn discard(&mut self) -> Result<Discarded, TransportError> {
        Ok(Discarded::End)
    }
}
