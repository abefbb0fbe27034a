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
//! Under loom there is the module `models` and nothing else: it explores loom models, each in its own process.
//!
//! With the feature `daemon`, which the tests of the library do without:
//!
//! | module | content |
//! |---|---|
//! | `rpc` | messages of the protocol, put together by hand |
//! | `client` | a client that sends and receives bytes |
//! | `sasl`, `scram` | the client's side of authentication |
//! | `tls` | clients over TLS |
//! | `pki` | certificates, made by the tools that operators use |
//! | `daemon` | `eventryd` as a child process |
//! | `in_process` | the daemon on threads of the test |
//! | `peer` | a session and its client, joined without a socket |
//! | `driver` | macros for a hypervisor that wraps another one |

#[cfg(loom)]
pub mod models;
#[cfg(not(loom))]
pub mod rng;
#[cfg(not(loom))]
pub mod timeout;

#[cfg(all(feature = "daemon", not(loom)))]
pub mod client;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod daemon;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod driver;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod in_process;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod peer;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod pki;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod rpc;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod sasl;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod scram;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod tls;
