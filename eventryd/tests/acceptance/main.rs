//! The real virsh, libvirt's own parser and its stock configuration, and the journal, against the real daemon.
//!
//! `./tests/run acceptance` installs what these tests need.

#![cfg(not(loom))]

mod journal;
mod stock_config;
mod tls;
mod virsh;
