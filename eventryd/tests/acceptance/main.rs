//! The daemon against virsh, libvirt's configuration parser, Debian's stock configuration, and the journal.
//!
//! `./tests/run acceptance` installs what these tests need.

#![cfg(not(loom))]

mod journal;
mod stock_config;
mod tls;
mod virsh;
