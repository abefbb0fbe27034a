//! The daemon on TCP, on TLS, and on passed sockets.

#![cfg(not(loom))]

mod activation;
mod families;
mod late_reader;
mod sockets;
mod tcp;
mod tls;
mod trust;
