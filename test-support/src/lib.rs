//! Test support of `eventry` and `eventryd`.
//!
//! A package of its own, because every file below a package's `tests` is a program of its own and cannot share a
//! module. It is never published: `cargo publish` leaves a dependency of tests without a version out.
//!
//! | module | content |
//! |---|---|
//! | [`timeout`] | the longest wait of a test |
//! | [`rng`] | numbers that follow from a seed |
//!
//! With the feature `daemon`, which the tests of the library do without:
//!
//! | module | content |
//! |---|---|
//! | [`rpc`] | messages of the protocol, put together by hand |
//! | [`client`] | a client that sends and receives bytes |
//! | [`sasl`], [`scram`] | the client's side of authentication |
//! | [`tls`] | clients over TLS |
//! | [`pki`] | certificates, made by the tools that operators use |
//! | [`daemon`] | `eventryd` as a child process |
//! | [`in_process`] | the daemon on threads of the test |
//! | [`peer`] | a session and its client, joined without a socket |
//! | [`driver`] | macros for a hypervisor that wraps another one |

#![cfg(not(loom))]

pub mod rng;
pub mod timeout;

#[cfg(feature = "daemon")]
pub mod client;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod driver;
#[cfg(feature = "daemon")]
pub mod in_process;
#[cfg(feature = "daemon")]
pub mod peer;
#[cfg(feature = "daemon")]
pub mod pki;
#[cfg(feature = "daemon")]
pub mod rpc;
#[cfg(feature = "daemon")]
pub mod sasl;
#[cfg(feature = "daemon")]
pub mod scram;
#[cfg(feature = "daemon")]
pub mod tls;
