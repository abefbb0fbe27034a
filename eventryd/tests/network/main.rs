//! The daemon on TCP, on TLS, and on passed sockets.

#![cfg(not(loom))]

mod activation;
mod tcp;
mod tls;
