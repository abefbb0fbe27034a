//! The daemon on TCP, on TLS, and on passed sockets.

#![cfg(not(loom))]

mod activation;
mod families;
mod tcp;
mod tls;
mod trust;
