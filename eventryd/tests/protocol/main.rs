//! The protocol without sockets: framing, recorded sessions, bad input and TLS.

#![cfg(not(loom))]

mod bad_input;
mod frame_properties;
mod golden_traces;
mod tls_session;
