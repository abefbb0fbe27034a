//! Callbacks as the table keeps them: one box each, of whatever type they are.

use super::{Next, Registry};
use crate::events::Events;
use crate::id::Key;
use crate::poller::Poller;
use std::any::Any;

/// A callback of any type. Dropping it is its free call.
pub(crate) type Callback<P> = Box<dyn Invoke<P>>;

/// A callback with what it needs to be called.
pub(crate) trait Invoke<P: Poller>: Send {
    /// Calls it with the registry, the key of its entry and, for a handle, the events; returns what is to become
    /// of the entry.
    fn call(&mut self, registry: &Registry<P>, key: Key, events: Events) -> Next;

    /// Returns the callback as it was added.
    fn into_inner(self: Box<Self>) -> Box<dyn Any>;
}

/// The callback `F`, which `A` calls in the way that its kind of entry asks for.
struct Adapted<F, A> {
    callback: F,
    adapter: A,
}

/// Boxes a callback for the table.
pub(crate) fn boxed<P, F, A>(callback: F, adapter: A) -> Callback<P>
where
    P: Poller,
    F: Send + 'static,
    A: FnMut(&mut F, &Registry<P>, Key, Events) -> Next + Send + 'static,
{
    Box::new(Adapted { callback, adapter })
}

/// Takes the callback out of the box, and drops what it was called with.
pub(crate) fn unboxed<P: Poller, F: 'static>(callback: Callback<P>) -> F {
    let callback = callback.into_inner().downcast();
    *callback.expect("the table gives back the callback that it was offered")
}

impl<P, F, A> Invoke<P> for Adapted<F, A>
where
    P: Poller,
    F: Send + 'static,
    A: FnMut(&mut F, &Registry<P>, Key, Events) -> Next + Send,
{
    fn call(&mut self, registry: &Registry<P>, key: Key, events: Events) -> Next {
        (self.adapter)(&mut self.callback, registry, key, events)
    }

    fn into_inner(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.callback)
    }
}
