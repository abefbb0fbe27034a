//! A memory-safe daemon that speaks the wire protocol of libvirt, on the event loop of [`eventry`].
//!
// Under loom only the models are tests. The examples in the following text are not run.
#![cfg(not(all(loom, any(test, doctest))))]

//! Unmodified `virsh` talks to its sockets and finds an in-memory hypervisor, so that tests of libvirt clients
//! need no libvirt. The program `eventryd` calls [`cli::main`]; other programs run the daemon with
//! [`server::run`].
//!
//! | module | role |
//! |---|---|
//! | [`cli`] | options, files, the process, exit status |
//! | [`config`] | `libvirtd.conf` and TOML: the settings in force, or their errors |
//! | [`server`] | start-up order, services, clients, calls, shutdown |
//! | [`driver`] | the trait of a hypervisor, and the one in memory |
//! | [`log`] | lines in libvirt's form, their filters and outputs |
//! | [`net`] | run directory, pid file, listening sockets, TLS |
//! | [`connection`] | one connection: transport, protocol state and progress of a client |
//! | [`admission`] | admission, rejection and eviction of clients |
//! | [`session`] | the protocol state of one client, as a pure value |
//! | [`auth`] | SCRAM, passwords, polkit |
//! | [`wire`] | framing, XDR, the table of procedures |
//! | [`worker_pool`] | threads for calls that may block |
//! | [`output`] | outputs with a bounded queue and a writer thread each |

#[cfg(not(loom))]
pub mod admission;
#[cfg(not(loom))]
pub mod auth;
#[cfg(not(loom))]
pub mod cli;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
pub mod connection;
#[cfg(not(loom))]
pub mod driver;
#[cfg(not(loom))]
mod file_kind;
#[cfg(not(loom))]
mod kernel_files;
#[cfg(not(loom))]
pub mod log;
#[cfg(not(loom))]
pub mod net;
pub mod output;
#[cfg(not(loom))]
pub mod server;
#[cfg(not(loom))]
pub mod session;
mod sync;
#[cfg(not(loom))]
mod trusted_path;
#[cfg(not(loom))]
mod whole_file;
#[cfg(not(loom))]
pub mod wire;
pub mod worker_pool;
