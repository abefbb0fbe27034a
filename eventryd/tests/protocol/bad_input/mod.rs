//! Replies to bad input. They are those of libvirt's daemon.

mod access;
mod auth;
mod calls;
mod framing;

use std::sync::Arc;

use eventryd::driver::MemoryDriver;
use eventryd::session::{Access, Auth, Event, SessionConfig, SessionState};
use eventryd::wire::{
    Call, ConnectOpenArgs, DomainArgs, DomainRef, ErrorCode, ErrorDomain, FeatureArgs, FrameError,
    Header, ListAllDomainsArgs, LookupByNameArgs, MessageType, PROCEDURES, Permission, Program,
    RemoteError, Reply, Status, WireString,
};
use test_support::peer::{Answer, Peer, answers};
use test_support::rpc::{message_of, message_with};
use uuid::uuid;

const SERIAL: u32 = 5;

fn driver() -> Arc<MemoryDriver> {
    Arc::new(MemoryDriver::with_hostname("vm"))
}

/// Returns a peer that has opened `test:///default`.
fn opened(access: Access) -> Peer {
    let mut peer = Peer::new(
        driver(),
        SessionConfig {
            access,
            ..SessionConfig::default()
        },
    );
    let sent = peer.exchange(&open_frame("test:///default", 0));
    assert!(matches!(answers(&sent)[..], [Answer::Ok(..)]));
    peer
}

fn assert_alive(peer: &mut Peer) {
    let sent = peer.exchange(&message_with(header(66), &[]));
    assert!(matches!(
        &answers(&sent)[..],
        [Answer::Ok(_, Reply::AuthList(_))]
    ));
}

/// Checks that the reply is exactly one error with the header of the call, and that the session still serves.
fn assert_refused(peer: &mut Peer, bytes: &[u8], text: &str) {
    let sent = peer.exchange(bytes);
    let expected = Answer::Error(header_of(bytes), RemoteError::rpc(text));
    assert_eq!(answers(&sent), [expected], "{text}");
    let ping = Header {
        procedure: Header::PING,
        ..Header::pong()
    };
    let sent = peer.exchange(&message_with(ping, &[]));
    assert_eq!(answers(&sent), [Answer::Message(Header::pong())], "{text}");
}

/// Returns the header of the error reply to a message.
fn header_of(bytes: &[u8]) -> Header {
    let mut from = eventryd::wire::Decoder::new(&bytes[4..]);
    let header: Header = eventryd::wire::Xdr::decode(&mut from).expect("a header");
    header.reply(Status::Error)
}

fn header(procedure: i32) -> Header {
    Header {
        procedure,
        ..Header::call(&PROCEDURES[0], SERIAL)
    }
}

fn call_frame(call: &Call) -> Vec<u8> {
    message_of(call, SERIAL)
}

fn open_frame(uri: &str, flags: u32) -> Vec<u8> {
    call_frame(&Call::ConnectOpen(ConnectOpenArgs {
        name: Some(uri.into()),
        flags,
    }))
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn test_domain() -> DomainRef {
    let uuid = uuid!("6695eb01-f6a4-8304-79aa-97f2502e193f");
    DomainRef {
        name: WireString::from("test"),
        uuid,
        id: 1,
    }
}
