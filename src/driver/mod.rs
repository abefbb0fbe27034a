//! What a daemon serves: the `Driver` trait and the in-memory hypervisor.
