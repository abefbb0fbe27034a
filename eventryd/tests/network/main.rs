//! The daemon on TCP, on TLS, and on sockets that were passed to it.

#![cfg(not(loom))]

mod activation;
mod tcp;
mod tls;
