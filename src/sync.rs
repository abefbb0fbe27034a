//! The lock. Everything that needs one takes it from here.

#![allow(clippy::disallowed_types)]

use std::sync::PoisonError;

pub(crate) use std::sync::{Arc, MutexGuard};

/// A lock that a panic does not poison: what it guards is consistent between any two calls on it.
#[derive(Debug)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits for the lock and takes it until the guard is dropped.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
