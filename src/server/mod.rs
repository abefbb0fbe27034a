//! The daemon: servers, services and clients on one event loop.

mod dispatch;

pub use dispatch::Dispatcher;
