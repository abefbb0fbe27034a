//! The daemon's side of a connection without a socket.

use std::sync::Arc;

use eventry::MonotonicTime;
use eventryd::auth::{Nonce, Passwords, Sasl, SaslExchange, Verifier};
use eventryd::driver::MemoryDriver;
use eventryd::server::CallHandler;
use eventryd::session::{AuthResult, Event, Session, SessionConfig};
use eventryd::wire::{
    Decoder, FrameSplitter, Header, MAX_FRAME, RemoteError, Reply, Status, Xdr, write_message,
};

/// The daemon's side of one connection. Calls are answered at once.
pub struct Peer {
    /// The session under test.
    pub session: Session,
    calls: CallHandler,
    exchange: SaslExchange,
    /// The events other than calls and authentication requests.
    pub events: Vec<Event>,
}

/// The user of a [`Peer`].
pub const USER: &str = "fred";
/// The password of [`USER`].
pub const PASSWORD: &[u8] = b"pencil";
/// The server's nonce in each exchange.
pub const NONCE: [u8; 18] = [9; 18];

fn sasl() -> Sasl {
    let mut passwords = Passwords::new([1; 32]);
    let count = 4096.try_into().expect("not zero");
    let verifier = Verifier::derive(PASSWORD, &[2; 16], count);
    passwords.insert(USER, verifier).expect("a good name");
    Sasl::new(passwords, None)
}

impl Peer {
    /// Creates the daemon's side of a connection.
    pub fn new(driver: Arc<MemoryDriver>, config: SessionConfig) -> Self {
        let calls = CallHandler::new(driver);
        Self {
            session: Session::new(config),
            calls,
            exchange: SaslExchange::default(),
            events: Vec::new(),
        }
    }

    /// Passes `bytes` to the session, returns its output, and keeps the events that the daemon would log.
    pub fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.session.receive(MonotonicTime::ZERO, bytes);
        let mut sent = Vec::new();
        loop {
            while let Some(event) = self.session.poll() {
                match event {
                    Event::Request(request) => {
                        let result = self.calls.handle_call(MonotonicTime::ZERO, request.call);
                        self.session.reply(request.ticket, result);
                    }
                    Event::Authenticate(request) => {
                        let nonce = Nonce::from_random(NONCE);
                        let decided = request.step.by_sasl(&mut self.exchange, &sasl(), &nonce);
                        // Polkit grants every request.
                        let result = decided.map_or(AuthResult::Complete(None), AuthResult::from);
                        self.session.authenticate(request.ticket, result);
                    }
                    other => self.events.push(other),
                }
            }
            let output = self.session.output();
            if output.is_empty() {
                return sent;
            }
            sent.extend_from_slice(output);
            self.session.advance_output(self.session.output().len());
        }
    }
}

/// A message from the daemon, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply to a call that succeeded.
    Ok(Header, Reply),
    /// The reply to a call that failed.
    Error(Header, RemoteError),
    /// A message that is not a reply.
    Message(Header),
}

/// Decodes all output of the daemon, which must consist of complete messages that encode to the same bytes.
///
/// # Panics
///
/// If a message is incomplete, does not decode, or encodes to other bytes.
pub fn answers(bytes: &[u8]) -> Vec<Answer> {
    let mut splitter = FrameSplitter::new(MAX_FRAME);
    splitter.push(bytes);
    let mut answers = Vec::new();
    let mut again = Vec::new();
    while let Some(frame) = splitter.head().expect("valid messages") {
        let header = frame.header;
        let is_reply = header == header.reply(header.status);
        let answer = match header.status {
            Status::Ok if is_reply => {
                let reply = Reply::decode(header.procedure, frame.payload).expect("a reply");
                write_message(&mut again, header, |to| reply.encode(to)).expect("a reply");
                Answer::Ok(header, reply)
            }
            Status::Error if is_reply => {
                let mut from = Decoder::new(frame.payload);
                let error = RemoteError::decode(&mut from).expect("an error");
                assert_eq!(from.remaining(), 0);
                write_message(&mut again, header, |to| error.encode(to)).expect("an error");
                Answer::Error(header, error)
            }
            _ => {
                write_message(&mut again, header, |_| {}).expect("a header");
                Answer::Message(header)
            }
        };
        answers.push(answer);
        splitter.consume();
    }
    assert_eq!(splitter.buffered(), 0, "the output ends within a message");
    assert_eq!(again, bytes, "the messages encode to other bytes");
    answers
}
