//! Bad input, with the expected reply, state of the connection and log message (DM-801…805, 902).

use test_support::rpc::{
    AUTH_LIST, CONNECT_OPEN, GET_HOSTNAME, KEEPALIVE, REMOTE, framed, open_arguments,
};

/// The serial of every message of a case.
pub(crate) const SERIAL: u32 = 5;

const LOOKUP_BY_NAME: i32 = 23;
const DESTROY: i32 = 12;
const CALL: u32 = 0;

/// One piece of bad input.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The input, sent by a client that has opened `test:///default`.
    pub(crate) bytes: Vec<u8>,
    pub(crate) answer: Answer,
    pub(crate) stays_open: bool,
    /// A part of the expected log message, if there is one.
    pub(crate) log: Option<String>,
}

/// The first reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Success,
    /// A pong.
    Pong,
    /// An error with this code and text.
    Error(u32, String),
}

/// A message whose words can all be invalid.
struct Message {
    program: u32,
    version: u32,
    procedure: i32,
    kind: u32,
    serial: u32,
    status: u32,
    payload: Vec<u8>,
}

fn call(procedure: i32) -> Message {
    Message {
        program: REMOTE,
        version: 1,
        procedure,
        kind: CALL,
        serial: SERIAL,
        status: 0,
        payload: Vec::new(),
    }
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let words = [
            self.program,
            self.version,
            self.procedure as u32,
            self.kind,
            self.serial,
            self.status,
        ];
        framed(words, &self.payload)
    }
}

/// Returns a lookup by a name with any length word.
fn lookup(length: u32, name: &[u8]) -> Message {
    Message {
        payload: [&length.to_be_bytes(), name].concat(),
        ..call(LOOKUP_BY_NAME)
    }
}

/// Returns a violation of the framing: no reply, the connection is closed, one log message.
fn fatal(name: &str, bytes: Vec<u8>, log: &str) -> Case {
    Case {
        name: name.to_owned(),
        bytes,
        answer: Answer::Nothing,
        stays_open: false,
        log: Some(format!("broke the protocol: {log}")),
    }
}

/// Returns a call that is refused before it is dispatched.
fn refused(name: &str, message: &Message, text: &str) -> Case {
    Case {
        name: name.to_owned(),
        bytes: message.bytes(),
        answer: Answer::Error(39, text.to_owned()),
        stays_open: true,
        log: Some(format!("refused: {text}")),
    }
}

fn dropped(name: &str, message: &Message, why: &str) -> Case {
    Case {
        name: name.to_owned(),
        bytes: message.bytes(),
        answer: Answer::Nothing,
        stays_open: true,
        log: Some(format!("dropped: {why}")),
    }
}

/// Returns a call that the driver answers.
fn answered(name: &str, message: &Message, answer: Answer) -> Case {
    Case {
        name: name.to_owned(),
        bytes: message.bytes(),
        answer,
        stays_open: true,
        log: None,
    }
}

/// Returns unusual input without an error or a log message.
fn harmless(name: &str, bytes: Vec<u8>, answer: Answer) -> Case {
    Case {
        name: name.to_owned(),
        bytes,
        answer,
        stays_open: true,
        log: None,
    }
}

pub(crate) fn cases() -> Vec<Case> {
    [framing(), programs(), kinds(), arguments(), states()]
        .into_iter()
        .flatten()
        .collect()
}

fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [0_u32, 3, 4, 5, 8, 27] {
        let log = format!("message of {length} bytes is too small, 28 needed");
        cases.push(fatal(
            &format!("length {length}"),
            length.to_be_bytes().to_vec(),
            &log,
        ));
    }
    for length in [33_554_437, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let log = format!("message of {length} bytes is too large");
        cases.push(fatal(
            &format!("length {length}"),
            length.to_be_bytes().to_vec(),
            &log,
        ));
    }
    let with_fds = |payload: Vec<u8>| Message {
        kind: 4,
        payload,
        ..call(AUTH_LIST)
    };
    let count = |count: u32| with_fds(count.to_be_bytes().to_vec()).bytes();
    cases.push(harmless(
        "a call with descriptor count 0",
        count(0),
        Answer::Success,
    ));
    for many in [1, 33] {
        let name = format!("a call with descriptor count {many}");
        cases.push(fatal(
            &name,
            count(many),
            &format!("{many} file descriptors"),
        ));
    }
    let none = with_fds(Vec::new()).bytes();
    cases.push(fatal(
        "a call with descriptors, without their count",
        none,
        "number of file descriptors is missing",
    ));
    let both = [call(GET_HOSTNAME).bytes(), call(GET_HOSTNAME).bytes()].concat();
    cases.push(harmless(
        "two calls with the same serial in one write",
        both,
        Answer::Success,
    ));
    cases
}

fn programs() -> Vec<Case> {
    let program = |program, procedure| Message {
        program,
        ..call(procedure)
    };
    let version = |version| Message {
        version,
        ..call(AUTH_LIST)
    };
    let unknown =
        |program: u32, version: u32| format!("Cannot find program {program} version {version}");
    let mut cases = vec![
        refused(
            "program 0x12345678",
            &program(0x1234_5678, 1),
            &unknown(0x1234_5678, 1),
        ),
        refused(
            "the admin program",
            &program(0x0690_0690, 1),
            &unknown(0x0690_0690, 1),
        ),
        refused("version 2", &version(2), &unknown(REMOTE, 2)),
        refused("version 0", &version(0), &unknown(REMOTE, 0)),
        refused(
            "a ping as a call",
            &program(KEEPALIVE, 1),
            &unknown(KEEPALIVE, 1),
        ),
    ];
    for procedure in [9_999, 0, -1, 444, 318] {
        let text = format!("unknown procedure: {procedure}");
        cases.push(refused(
            &format!("procedure {procedure}"),
            &call(procedure),
            &text,
        ));
    }
    for status in [1, 2, 99] {
        let message = Message {
            status,
            ..call(AUTH_LIST)
        };
        let text = format!("Unexpected message status {status}");
        cases.push(refused(
            &format!("a call of status {status}"),
            &message,
            &text,
        ));
    }
    cases
}

fn kinds() -> Vec<Case> {
    let kind = |kind| Message {
        kind,
        ..call(AUTH_LIST)
    };
    let keepalive = |version, procedure, serial| Message {
        program: KEEPALIVE,
        version,
        kind: 2,
        serial,
        ..call(procedure)
    };
    let mut cases: Vec<Case> = [
        (1, "REPLY"),
        (2, "MESSAGE"),
        (3, "STREAM"),
        (5, "REPLY_WITH_FDS"),
        (6, "STREAM_HOLE"),
        (7, "7"),
        (u32::MAX, "-1"),
    ]
    .into_iter()
    .map(|(number, name)| {
        dropped(
            &format!("a message of type {name}"),
            &kind(number),
            "not a call",
        )
    })
    .collect();
    let foreign = Message {
        program: 0x1234_5678,
        ..kind(2)
    };
    cases.push(dropped(
        "a MESSAGE of an unknown program",
        &foreign,
        "unknown program",
    ));
    cases.push(dropped(
        "keepalive of version 2",
        &keepalive(2, 1, 0),
        "unknown program",
    ));
    cases.push(dropped(
        "keepalive that is neither ping nor pong",
        &keepalive(1, 3, 0),
        "neither ping nor pong",
    ));
    let ping = Message {
        payload: vec![1; 16],
        ..keepalive(1, 1, 7)
    };
    cases.push(harmless(
        "a ping with a serial and a body",
        ping.bytes(),
        Answer::Pong,
    ));
    cases.push(harmless(
        "an unsolicited pong",
        keepalive(1, 2, 0).bytes(),
        Answer::Nothing,
    ));
    cases
}

fn arguments() -> Vec<Case> {
    let undecodable = "Unable to decode message payload";
    let not_found = || Answer::Error(42, "Domain not found".to_owned());
    let mut cases: Vec<Case> = [
        ("a lookup without arguments", call(LOOKUP_BY_NAME)),
        ("a truncated string", lookup(8, b"test")),
        ("a string of 0xffffffff bytes", lookup(u32::MAX, b"test")),
        (
            "a string of more than 4 MiB",
            lookup(4_194_305, &vec![b'a'; 4_194_308]),
        ),
        ("a string without its padding", lookup(3, b"abc")),
        ("a string with a NUL byte", lookup(8, b"test\0xyz")),
        (
            "a list call without some of its arguments",
            Message {
                payload: vec![0; 4],
                ..call(273)
            },
        ),
    ]
    .iter()
    .map(|(name, message)| refused(name, message, undecodable))
    .collect();
    for (name, message) in [
        (
            "a string of 4 MiB",
            lookup(4_194_304, &vec![b'a'; 4_194_304]),
        ),
        (
            "a string of 100000 bytes",
            lookup(100_000, &vec![b'a'; 100_000]),
        ),
        (
            "a string with padding that is not zero",
            lookup(3, b"abc\x7f"),
        ),
        ("a string that is not UTF-8", lookup(4, b"t\xffst")),
        ("an empty string", lookup(0, b"")),
    ] {
        cases.push(answered(name, &message, not_found()));
    }
    let trailing = lookup(4, b"testtrailing");
    cases.push(answered(
        "bytes after the arguments",
        &trailing,
        Answer::Success,
    ));
    let much = Message {
        payload: vec![0x55; 4096],
        ..call(AUTH_LIST)
    };
    cases.push(answered(
        "arguments in a call without any",
        &much,
        Answer::Success,
    ));
    cases
}

fn states() -> Vec<Case> {
    let error = |code, text: &str| Answer::Error(code, text.to_owned());
    let open = Message {
        payload: open_arguments(),
        ..call(CONNECT_OPEN)
    };
    let close = call(2).bytes();
    let after_close = [close.clone(), call(GET_HOSTNAME).bytes()].concat();
    let end = |name: &str, bytes| Case {
        stays_open: false,
        ..harmless(name, bytes, Answer::Success)
    };
    let polkit = answered(
        "polkit authentication that is not required",
        &call(70),
        error(45, "authentication failed: authentication failed"),
    );
    let sasl = answered(
        "SASL authentication that is not required",
        &call(67),
        error(45, "authentication failed: authentication failed"),
    );
    vec![
        answered(
            "a second open",
            &open,
            error(1, "internal error: connection already open"),
        ),
        end("a close", close),
        end("a close, followed by a call", after_close),
        polkit,
        sasl,
        answered(
            "a destroy call without arguments",
            &call(DESTROY),
            error(39, "Unable to decode message payload"),
        ),
    ]
}
