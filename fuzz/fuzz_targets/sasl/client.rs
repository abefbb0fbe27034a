//! The client, the daemon's side of its connection, and what must hold between them.

use crate::Step;
use eventry::MonotonicTime;
use eventryd::auth::{Nonce, Passwords, Sasl, SaslExchange, SaslProgress, Verifier};
use eventryd::session::{Auth, AuthResult, Event, Session, SessionConfig, SessionState};
use eventryd::wire::{
    Call, CharArray, ConnectOpenArgs, FrameSplitter, MAX_FRAME, PROCEDURES, Reply, SaslStartArgs,
    SaslStepArgs, Status,
};
use std::sync::OnceLock;
use test_support::rpc::{message, message_of};
use test_support::scram::proof;

/// Who exists, and what only he knows.
const USER: &str = "fred";
const PASSWORD: &[u8] = b"pencil";

/// No answer is longer: a nonce of the client, ours, the salt.
const LONGEST_ANSWER: usize = 8_192;

pub(crate) struct Client {
    session: Session,
    exchange: SaslExchange,
    /// Whether the user is among those allowed.
    is_allowed: bool,
    sasl: Sasl,
    /// What the last proper beginning said and was answered, and whether nothing else was said since.
    begun: Option<(String, Vec<u8>)>,
    is_next: bool,
    answers: Vec<(Status, Option<Reply>)>,
}

fn passwords() -> Passwords {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    let verifier = VERIFIER
        .get_or_init(|| Verifier::derive(PASSWORD, &[2; 16], 4096.try_into().expect("not zero")));
    let mut passwords = Passwords::new([1; 32]);
    passwords
        .insert(USER, verifier.clone())
        .expect("a good name");
    passwords
}

impl Client {
    pub(crate) fn new(choice: u8) -> Client {
        let patterns = match choice & 3 {
            0 => None,
            1 => Some(vec!["f*".to_owned()]),
            2 => Some(vec!["?fred".to_owned()]),
            _ => Some(Vec::new()),
        };
        let auth = Auth::Sasl;
        Client {
            session: Session::new(SessionConfig {
                auth,
                ..SessionConfig::default()
            }),
            exchange: SaslExchange::default(),
            is_allowed: choice & 3 < 2,
            sasl: Sasl::new(passwords(), patterns),
            begun: None,
            is_next: false,
            answers: Vec::new(),
        }
    }

    pub(crate) fn carry_out(&mut self, step: &Step<'_>) {
        let was_known = self.session.is_authenticated();
        let serves = self.session.state() == SessionState::Serving;
        match step {
            Step::Init => self.call(&Call::AuthSaslInit(())),
            Step::Start(offered, data) => {
                let mechanism = if *offered {
                    "SCRAM-SHA-256".to_owned()
                } else {
                    data.iter()
                        .map(|byte| char::from(byte & 0x7f | 1))
                        .collect()
                };
                self.start(mechanism, data);
            }
            Step::Begin(exists, nonce) => self.begin(*exists, nonce),
            Step::Answer(data) => self.answer(data.to_vec()),
            Step::Prove(knows, at, change) => {
                let must = self.prove(*knows, *at, *change);
                let is_known = self.session.is_authenticated();
                if must && serves && !was_known {
                    assert_eq!(is_known, self.is_allowed, "who has the proof is let in");
                }
                let may = *knows && *change == 0 && self.is_allowed;
                assert!(was_known || !is_known || may, "without the proof");
            }
            Step::Raw(procedure, payload) => self.raw(*procedure, payload),
            Step::Open => self.open(was_known && serves),
        }
        if !matches!(step, Step::Prove(..)) {
            assert_eq!(self.session.is_authenticated(), was_known, "{step:?}");
        }
        if !matches!(step, Step::Begin(..)) {
            self.is_next = false;
        }
    }

    fn start(&mut self, mechanism: String, data: &[u8]) {
        self.call(&Call::AuthSaslStart(SaslStartArgs {
            mech: mechanism.into(),
            nil: 0,
            data: CharArray(data.to_vec()),
        }));
    }

    fn answer(&mut self, data: Vec<u8>) {
        let data = CharArray(data);
        self.call(&Call::AuthSaslStep(SaslStepArgs { nil: 0, data }));
    }

    fn begin(&mut self, exists: bool, nonce: &[u8]) {
        let user = if exists { USER } else { "nobody" };
        let nonce: String = nonce
            .iter()
            .map(|byte| char::from(b'-' + byte % 80))
            .collect();
        let first = format!("n,,n={user},r=x{nonce}");
        self.start("SCRAM-SHA-256".to_owned(), first.as_bytes());
        if let Some((_, Some(Reply::AuthSaslStart(reply)))) = self.answers.last() {
            assert_eq!((reply.complete, reply.nil), (0, 0));
            self.is_next = exists;
            self.begun = Some((first, reply.data.0.clone()));
        }
    }

    /// Whether it must be let in, if it is allowed.
    fn prove(&mut self, knows: bool, at: u8, change: u8) -> bool {
        let Some((first, challenge)) = self.begun.clone() else {
            return false;
        };
        let password = if knows { PASSWORD } else { b"pencils" };
        let mut last = proof(&first, password, &challenge);
        let at = usize::from(at) % last.len();
        last[at] ^= change;
        self.answer(last);
        self.is_next && knows && change == 0
    }

    fn raw(&mut self, procedure: u8, payload: &[u8]) {
        let served = &PROCEDURES[usize::from(procedure) % PROCEDURES.len()];
        // These end the session, or would be carried out.
        if self.session.is_authenticated() || served.name == "CONNECT_CLOSE" {
            return;
        }
        self.send(&message(served.number, 1, payload));
    }

    /// Whoever is not known is refused.
    fn open(&mut self, is_known: bool) {
        let name = Some("test:///default".into());
        let before = self.answers.len();
        self.call(&Call::ConnectOpen(ConnectOpenArgs { name, flags: 0 }));
        for (status, _) in &self.answers[before..] {
            assert_eq!(*status == Status::Ok, is_known);
        }
    }

    fn call(&mut self, call: &Call) {
        self.send(&message_of(call, 1));
    }

    /// Sends a message, and takes what comes back: at most one, whole.
    fn send(&mut self, bytes: &[u8]) {
        self.session.receive(MonotonicTime::ZERO, bytes);
        let mut failures = 0;
        while let Some(event) = self.session.poll() {
            match event {
                Event::Authenticate(request) => {
                    let nonce = Nonce::from_random([9; 18]);
                    let progress = request
                        .step
                        .by_sasl(&mut self.exchange, &self.sasl, &nonce)
                        .expect("it is SASL");
                    if let Ok(SaslProgress::Complete { user, .. }) = &progress {
                        assert!(user == USER && self.is_allowed);
                    }
                    failures += u32::from(progress.is_err());
                    self.session
                        .authenticate(request.ticket, AuthResult::from(progress));
                }
                Event::Request(request) => {
                    assert!(self.session.is_authenticated());
                    let reply = Ok(Reply::ConnectOpen(()));
                    self.session.reply(request.ticket, reply);
                }
                Event::Violation(violation) => panic!("{violation}"),
                _ => {}
            }
        }
        assert!(failures <= 1);
        assert!(self.session.output().len() <= LONGEST_ANSWER);
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        splitter.push(self.session.output());
        self.session.advance_output(self.session.output().len());
        let mut count = 0;
        while let Some(frame) = splitter.head().expect("whole messages") {
            let reply = (frame.header.status == Status::Ok)
                .then(|| Reply::decode(frame.header.procedure, frame.payload).expect("a reply"));
            self.answers.push((frame.header.status, reply));
            splitter.consume();
            count += 1;
        }
        assert!(count <= 1 && splitter.buffered() == 0);
        if self.session.state() == SessionState::Denied {
            assert!(self.session.should_close() && !self.session.is_authenticated());
        }
    }
}
