//! Properties of framing and sessions for any input.
//!
//! - Splits of the input do not change the replies, the logged events or the end of the session.
//! - A session never panics, and sends only complete messages.
//! - A call, a reply and an error decode to what was encoded.

use std::sync::Arc;

use eventryd::driver::MemoryDriver;
use eventryd::session::SessionConfig;
use eventryd::wire::{
    Call, ConnectOpenArgs, Decoder, DomainArgs, DomainFlagsArgs, DomainRef, Encoder, ErrorCode,
    ErrorDomain, FeatureArgs, Frame, FrameSplitter, Header, ListAllDomainsArgs, LookupByIdArgs,
    LookupByNameArgs, LookupByUuidArgs, MAX_FRAME, MessageType, PROCEDURES, Program, RemoteError,
    Reply, Status, WireString, Xdr, write_message,
};
use proptest::collection::vec;
use proptest::prelude::*;
use test_support::peer::{Peer, answers};
use test_support::rpc::{message_of, message_with};
use uuid::{Uuid, uuid};

const TEST_UUID: Uuid = uuid!("6695eb01-f6a4-8304-79aa-97f2502e193f");

/// Generates a piece of input: valid calls, messages with random headers, or random bytes.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => call().prop_map(|call| message_of(&call, 3)),
        4 => (header(), vec(any::<u8>(), 0..64)).prop_map(|(header, payload)| message_with(header, &payload)),
        1 => vec(any::<u8>(), 0..40),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    let program = prop_oneof![
        4 => Just(Program::Remote.number()),
        4 => Just(Program::Keepalive.number()),
        1 => Just(Program::Qemu.number()),
        1 => any::<u32>(),
    ];
    let procedure = prop_oneof![
        4 => proptest::sample::select(PROCEDURES).prop_map(|procedure| procedure.number),
        2 => 0..4_i32,
        1 => any::<i32>(),
    ];
    (
        program,
        0..3_u32,
        procedure,
        -1..9_i32,
        any::<u32>(),
        -1..4_i32,
    )
        .prop_map(
            |(program, version, procedure, kind, serial, status)| Header {
                program,
                version,
                procedure,
                kind: MessageType::from(kind),
                serial,
                status: Status::from(status),
            },
        )
}

fn text() -> impl Strategy<Value = WireString> {
    prop_oneof![
        Just(WireString::from("test:///default")),
        Just(WireString::from("test")),
        "[^\0]{0,20}".prop_map(WireString::from),
    ]
}

fn domain() -> impl Strategy<Value = DomainRef> {
    let uuid = prop_oneof![Just(TEST_UUID), any::<u128>().prop_map(Uuid::from_u128)];
    (text(), uuid, any::<i32>()).prop_map(|(name, uuid, id)| DomainRef { name, uuid, id })
}

fn call() -> impl Strategy<Value = Call> {
    let flags = prop_oneof![0..4_u32, any::<u32>()];
    prop_oneof![
        6 => (proptest::option::of(text()), flags.clone())
            .prop_map(|(name, flags)| Call::ConnectOpen(ConnectOpenArgs { name, flags })),
        1 => Just(Call::ConnectClose(())),
        2 => Just(Call::AuthList(())),
        2 => Just(Call::NodeGetInfo(())),
        2 => Just(Call::NodeGetSecurityModel(())),
        2 => Just(Call::ConnectGetUri(())),
        2 => (8..17_i32).prop_map(|feature| Call::ConnectSupportsFeature(FeatureArgs { feature })),
        2 => domain().prop_map(|dom| Call::DomainGetInfo(DomainArgs { dom })),
        2 => domain().prop_map(|dom| Call::DomainSuspend(DomainArgs { dom })),
        2 => domain().prop_map(|dom| Call::DomainResume(DomainArgs { dom })),
        2 => domain().prop_map(|dom| Call::DomainDestroy(DomainArgs { dom })),
        2 => domain().prop_map(|dom| Call::DomainGetSecurityLabel(DomainArgs { dom })),
        2 => (domain(), flags.clone())
            .prop_map(|(dom, flags)| Call::DomainGetState(DomainFlagsArgs { dom, flags })),
        2 => text().prop_map(|name| Call::DomainLookupByName(LookupByNameArgs { name })),
        2 => any::<i32>().prop_map(|id| Call::DomainLookupById(LookupByIdArgs { id })),
        2 => any::<u128>().prop_map(|uuid| {
            Call::DomainLookupByUuid(LookupByUuidArgs { uuid: Uuid::from_u128(uuid) })
        }),
        2 => (0..2_i32, flags).prop_map(|(need_results, flags)| {
            Call::ConnectListAllDomains(ListAllDomainsArgs { need_results, flags })
        }),
    ]
}

/// Returns the output, the final state and the decision to close of a session that has received these pieces.
fn observe<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, String, bool) {
    let driver = Arc::new(MemoryDriver::with_hostname("vm"));
    let mut peer = Peer::new(driver, SessionConfig::default());
    let mut sent = Vec::new();
    for piece in pieces {
        sent.extend(peer.exchange(piece));
    }
    let session = &peer.session;
    let end = format!(
        "{:?} {:?} {:?}",
        session.state(),
        session.access(),
        peer.events
    );
    (sent, end, session.should_close())
}

/// Splits `bytes` at `cuts`.
fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn the_way_the_bytes_arrive_changes_nothing(
        pieces in vec(piece(), 0..20),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = pieces.concat();
        let whole = observe([&bytes[..]]);
        answers(&whole.0);
        prop_assert_eq!(&observe(cut(&bytes, &cuts)), &whole);
        prop_assert_eq!(&observe(bytes.chunks(1)), &whole);
    }

    #[test]
    fn a_splitter_yields_what_was_written(
        messages in vec((header(), vec(any::<u32>(), 0..300)), 0..20),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        // A call with descriptors needs a descriptor count.
        let messages: Vec<_> = messages
            .into_iter()
            .filter(|(header, _)| header.kind != MessageType::CallWithFds)
            .collect();
        let mut bytes = Vec::new();
        for (header, words) in &messages {
            let written = write_message(&mut bytes, *header, |to| {
                words.iter().for_each(|&word| to.u32(word));
            });
            written.expect("a small message");
        }
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        let mut left = messages.iter();
        for piece in cut(&bytes, &cuts) {
            splitter.push(piece);
            while let Some(Frame { header, payload }) = splitter.head().expect("valid messages") {
                let (expected, words) = left.next().expect("no more messages than written");
                prop_assert_eq!(header, *expected);
                let words: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
                prop_assert_eq!(payload, &words[..]);
                splitter.consume();
            }
        }
        prop_assert_eq!(left.len(), 0);
        prop_assert_eq!(splitter.buffered(), 0);
    }

    #[test]
    fn a_call_decodes_to_what_was_encoded(call in call(), garbage in vec(any::<u8>(), 0..9)) {
        let mut bytes = Vec::new();
        call.encode(&mut Encoder::new(&mut bytes));
        let number = call.procedure().number;
        // Bytes after the arguments are ignored; missing bytes are an error.
        if !bytes.is_empty() {
            prop_assert!(Call::decode(number, &bytes[..bytes.len() - 1]).is_err());
        }
        bytes.extend(garbage);
        prop_assert_eq!(Call::decode(number, &bytes), Ok(call));
    }

    #[test]
    fn a_reply_decodes_from_any_bytes_to_what_encodes_to_no_more(
        procedure in proptest::sample::select(PROCEDURES),
        bytes in vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..200),
    ) {
        let Ok(reply) = Reply::decode(procedure.number, &bytes) else { return Ok(()) };
        let mut again = Vec::new();
        reply.encode(&mut Encoder::new(&mut again));
        prop_assert!(again.len() <= bytes.len());
        prop_assert_eq!(Reply::decode(procedure.number, &again), Ok(reply));
    }

    #[test]
    fn an_error_decodes_to_what_was_encoded(detail in "[^\0]{0,2000}", code in any::<i32>()) {
        let error = RemoteError::new(ErrorCode(code), ErrorDomain(-code.max(-9)), "no: %s", &detail);
        let mut bytes = Vec::new();
        error.encode(&mut Encoder::new(&mut bytes));
        prop_assert!(bytes.len() < 3_000);
        prop_assert_eq!(RemoteError::decode(&mut Decoder::new(&bytes)), Ok(error));
    }
}
