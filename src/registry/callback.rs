//! Callbacks in the table: each in one box, so that callbacks of any type have the same type there.

use super::{Next, Registry};
use crate::poller::Poller;
use crate::table::CallArguments;
use std::any::Any;

/// A boxed callback of any type. Its free call is its drop.
pub(crate) type Callback<P> = Box<dyn Invoke<P>>;

/// A callback that can be called without its type.
pub(crate) trait Invoke<P: Poller>: Send {
    /// Calls the callback with the registry and the arguments of the call; returns the next state of the entry.
    fn call(&mut self, registry: &Registry<P>, arguments: &CallArguments) -> Next;

    /// Returns the callback as it was added.
    fn into_inner(self: Box<Self>) -> Box<dyn Any>;
}

/// The callback `F`, and the adapter `A` that calls it with the arguments for its type of entry.
struct Adapted<F, A> {
    callback: F,
    adapter: A,
}

/// Boxes a callback for the table.
pub(crate) fn boxed<P, F, A>(callback: F, adapter: A) -> Callback<P>
where
    P: Poller,
    F: Send + 'static,
    A: FnMut(&mut F, &Registry<P>, &CallArguments) -> Next + Send + 'static,
{
    Box::new(Adapted { callback, adapter })
}

/// Takes the callback out of the box, and drops the adapter.
pub(crate) fn unboxed<P: Poller, F: 'static>(callback: Callback<P>) -> F {
    let callback = callback.into_inner().downcast();
    *callback.expect("the table returns the callback that was passed to it")
}

impl<P, F, A> Invoke<P> for Adapted<F, A>
where
    P: Poller,
    F: Send + 'static,
    A: FnMut(&mut F, &Registry<P>, &CallArguments) -> Next + Send,
{
    fn call(&mut self, registry: &Registry<P>, arguments: &CallArguments) -> Next {
        (self.adapter)(&mut self.callback, registry, arguments)
    }

    fn into_inner(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.callback)
    }
}
