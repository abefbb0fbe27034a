//! The protocol without a socket: framing, recorded sessions, bad input, TLS.

#![cfg(not(loom))]

mod bad_input;
mod frame_properties;
mod golden_traces;
mod tls_session;
