//! Test support of `eventry` and `eventryd`.
//!
//! This is a separate package, because each file in a package's `tests` is a separate program and cannot share a
//! module. It is not published: `cargo publish` omits a development dependency without a version.
//!
//! | module | content |
//! |---|---|
//! | [`timeout`] | the timeout of all waits |
//! | [`rng`] | pseudo-random numbers from a seed |
//! | [`not_run()`] | the report of a test that the machine does not allow |
//!
//! Under loom the only module is `models`, which explores loom models, each in its own process.
//!
//! With the feature `daemon`, which the tests of the library do not need:
//!
//! | module | content |
//! |---|---|
//! | `rpc` | protocol messages, encoded without code of the daemon |
//! | `client` | a client that sends and receives raw messages |
//! | `sasl`, `scram` | the client's side of authentication |
//! | `tls` | clients over TLS |
//! | `pki` | certificates, created with certtool or openssl |
//! | `daemon` | `eventryd` as a child process |
//! | `in_process` | the daemon on threads of the test's process |
//! | `peer` | a session and its client without a socket |
//! | `config` | comparison of configurations |
//! | `driver` | macros for a hypervisor that wraps another one |

#[cfg(loom)]
pub mod models;
#[cfg(not(loom))]
mod not_run;
#[cfg(not(loom))]
pub mod rng;
#[cfg(not(loom))]
pub mod timeout;
#[cfg(not(loom))]
pub use not_run::not_run;

#[cfg(all(feature = "daemon", not(loom)))]
pub mod client;
#[cfg(all(feature = "daemon", not(loom)))]
pub mod config;
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
