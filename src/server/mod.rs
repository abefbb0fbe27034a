//! The daemon: servers, services and clients on one event loop.
