//! The clients with a reserved slot.

use super::Scope;
use std::collections::BTreeSet;

/// The clients with a reserved slot, by scope. There are none while an unreserved slot is free.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    held: [BTreeSet<u64>; 2],
}

impl Reserve {
    /// Returns the number of reserved slots of the scope that are in use.
    pub(super) fn held(&self, scope: Scope) -> usize {
        self.held[scope as usize].len()
    }

    pub(super) fn add(&mut self, scope: Scope, id: u64) {
        self.held[scope as usize].insert(id);
    }

    pub(super) fn remove(&mut self, id: u64) {
        for held in &mut self.held {
            held.remove(&id);
        }
    }

    /// Moves clients from reserved slots to free unreserved ones, those of scope `first` first, if there are
    /// `unreserved` of these and `total` clients with any slot.
    pub(super) fn fill_unreserved(&mut self, total: usize, unreserved: usize, first: Scope) {
        let [local, network] = &mut self.held;
        let (first, second) = match first {
            Scope::Local => (local, network),
            Scope::Network => (network, local),
        };
        while total - first.len() - second.len() < unreserved {
            if first.pop_first().is_none() && second.pop_first().is_none() {
                return;
            }
        }
    }
}
