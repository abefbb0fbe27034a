//! What a session is served over: the client's socket, through its channel, and the daemon.

use super::{Failure, Line};
use crate::flow::{Arrival, Link};
use crate::net::ChannelError;
use crate::session::{Event, Expiry, Session};
use eventry::Time;
use std::io;
use std::mem::MaybeUninit;

/// How much is read at once.
const READ_SIZE: usize = 16 * 1024;

impl Link for Line<'_> {
    type Error = Failure;

    fn carry_out(&mut self, session: &mut Session, now: Time, event: Event) {
        let id = self.client.id;
        match event {
            Event::Request(request) => self.served.answer(session, id, self.hub, request, now),
            Event::Authenticate(request) => {
                self.served.authenticate(session, id, self.hub, &request)
            }
            Event::Refused { header, refusal } => {
                let (serial, procedure) = (header.serial, header.procedure);
                if std::mem::replace(&mut self.served.refused, true) {
                    tracing::debug!("client {id}: call {serial} of {procedure} refused: {refusal}");
                } else {
                    tracing::info!("client {id}: call {serial} of {procedure} refused: {refusal}");
                }
            }
            Event::Dropped { header, reason } => {
                let procedure = header.procedure;
                tracing::debug!("client {id}: a message of {procedure} dropped: {reason}");
            }
            Event::Throttled { in_progress } => {
                tracing::warn!(
                    "client {id} has {in_progress} calls in progress; the next ones wait"
                );
            }
            Event::Violation(violation) => {
                tracing::warn!("client {id} broke the protocol: {violation}; closing");
            }
            Event::Expired(expiry @ Expiry::Dead { .. }) => {
                tracing::info!("client {id}: {expiry}");
            }
            Event::Expired(expiry) => tracing::warn!("client {id}: {expiry}; closing"),
        }
    }

    fn read(&mut self, session: &mut Session, now: Time) -> Result<Arrival, Failure> {
        let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
        let channel = &mut self.served.channel;
        let arrived = loop {
            let receive = |bytes: &[u8]| session.receive(now, bytes);
            match channel.read(&self.client.socket, &mut buffer, receive) {
                Ok(arrived) => break arrived,
                Err(ChannelError::Tls(failure)) => return Err(failure.into()),
                Err(ChannelError::Socket(error)) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(Arrival::Nothing),
                    _ => return Err(error.into()),
                },
            }
        };
        self.served.note(session, self.client.id, &arrived.tls, now);
        Ok(if arrived.bytes == buffer.len() {
            Arrival::Full
        } else {
            Arrival::Short
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if !bytes.is_empty() {
            self.served.standing.used();
        }
        let (socket, channel) = (&self.client.socket, &mut self.served.channel);
        loop {
            let sent = if bytes.is_empty() {
                channel.flush(socket).map(|()| 0)
            } else {
                channel.write(socket, bytes)
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                sent => return Ok(sent?),
            }
        }
    }

    fn wants_write(&self) -> bool {
        self.served.channel.wants_write()
    }
}
