//! The transport of a simulated client, which moves a random number of bytes at a time.

use crate::client::Client;
use crate::situations::Situations;
use crate::workers::PoolModel;
use eventryd::auth::Sasl;
use eventryd::connection::{Amount, Discarded, Handshake, ReadOutcome, Transport, TransportError};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use test_support::rng::Rng;

/// A client, shared by the world and its pipe.
pub(crate) type ClientCell = Rc<RefCell<Client>>;

/// The state that all connections share.
pub(crate) struct Shared {
    pub(crate) rng: Rng,
    pub(crate) pool: PoolModel,
    pub(crate) sasl: Arc<Sasl>,
    /// The largest number of bytes of one read.
    pub(crate) read_size: usize,
    pub(crate) counts: Situations,
    /// Every transfer moves as much as possible.
    pub(crate) transfers_all: bool,
}

/// The daemon's end of a pipe to a client.
pub(crate) struct Pipe {
    pub(crate) client: ClientCell,
    pub(crate) shared: Rc<RefCell<Shared>>,
}

fn reset() -> TransportError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

impl Transport for Pipe {
    fn read(&mut self, mut plaintext: impl FnMut(&[u8])) -> Result<ReadOutcome, TransportError> {
        let (client, shared) = (&mut *self.client.borrow_mut(), self.shared.borrow());
        if client.is_broken {
            return Err(reset());
        }
        let mut outcome = ReadOutcome {
            amount: Amount::Nothing,
            ended: false,
            handshake: None,
        };
        let arrived = client.to_server.len();
        if arrived == 0 && !client.eof && !client.is_disconnected {
            return Ok(outcome);
        }
        let count = arrived.min(shared.read_size);
        let mut bytes: Vec<u8> = client.to_server.drain(..count).collect();
        let ledger = &mut client.ledger;
        if count == 0 {
            ledger.input_ended = true;
            ledger.keepalive.begin_close(ledger.keepalive.now);
            (outcome.amount, outcome.ended) = (Amount::Short, true);
            return Ok(outcome);
        }
        let of_handshake = count.min(client.handshake);
        if of_handshake > 0 {
            bytes.drain(..of_handshake);
            client.handshake -= of_handshake;
            outcome.handshake = (client.handshake == 0).then_some(Handshake {
                name: None,
                warning: None,
            });
        }
        if !bytes.is_empty() {
            ledger.keepalive.record_received();
            ledger.delivered += bytes.len();
            plaintext(&bytes);
        }
        outcome.amount = if count == shared.read_size {
            Amount::Full
        } else {
            Amount::Short
        };
        Ok(outcome)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let (client, shared) = (
            &mut *self.client.borrow_mut(),
            &mut *self.shared.borrow_mut(),
        );
        client.ledger.read_output(bytes);
        if client.is_broken || client.is_disconnected {
            return Err(reset());
        }
        let room = client.capacity - client.from_server.len();
        let most = bytes.len().min(room);
        let count = if most == 0 || shared.transfers_all {
            most
        } else {
            1 + shared.rng.below(most)
        };
        shared.counts.partial_sends += usize::from(count < bytes.len());
        client.from_server.extend(&bytes[..count]);
        client.ledger.sent += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        let client = &mut *self.client.borrow_mut();
        client.ledger.read_output(&[]);
        if client.is_broken {
            return Err(reset());
        }
        Ok(())
    }

    fn wants_write(&self) -> bool {
        false
    }

    fn is_open(&self) -> bool {
        self.client.borrow().handshake == 0
    }

    fn close_notify(&mut self) {}

    fn begin_linger(&mut self) -> bool {
        false
    }

    fn discard(&mut self) -> Result<Discarded, TransportError> {
        Ok(Discarded::End)
    }
}
