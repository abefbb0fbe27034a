//! Arrivals, progress and ends of clients in any order, under limits that change: every decision is that of a naive
//! model, and no more clients than `max_clients` have a slot.

#![no_main]

#[path = "../../eventryd/tests/admission/oracle.rs"]
mod oracle;

use std::net::Ipv4Addr;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use eventry::MonotonicTime;
use eventryd::admission::{
    AdmissionDecision, AdmissionLimits, AdmissionStep, ClientAdmission, EVICTION_GRACE, Peer,
    PendingClient, Scope,
};
use libfuzzer_sys::fuzz_target;
use oracle::{Oracle, Waiting};

#[derive(Arbitrary, Debug)]
enum Op {
    Arrive { peer: u8, anonymous: bool },
    Speak(u8),
    LeaveQueue(u8),
    Progress(u8, bool),
    Identify(u8),
    End(u8),
    Leave(u8),
    Advance(u8),
    SetLimits(Limits),
}

#[derive(Arbitrary, Debug)]
struct Limits {
    max_clients: u8,
    serves_networks: bool,
    max_anonymous: u8,
}

impl From<Limits> for AdmissionLimits {
    fn from(limits: Limits) -> AdmissionLimits {
        AdmissionLimits {
            max_clients: 1 + usize::from(limits.max_clients) % 70,
            serves_networks: limits.serves_networks,
            max_anonymous: usize::from(limits.max_anonymous) % 5,
            max_waiting: 12,
            eviction_grace: EVICTION_GRACE,
        }
    }
}

/// Both sides, and the limit that clients above a lowered `max_clients` keep to.
struct World {
    clients: ClientAdmission,
    oracle: Oracle,
    now: MonotonicTime,
    last: u64,
    bound: usize,
}

impl World {
    fn chosen(&self, index: u8) -> Option<usize> {
        let count = self.oracle.clients.len();
        (count > 0).then(|| usize::from(index) % count)
    }

    fn chosen_waiting(&self, index: u8) -> Option<usize> {
        let count = self.oracle.waiting.len();
        (count > 0).then(|| usize::from(index) % count)
    }

    fn arrive(&mut self, peer: u8, anonymous: bool) {
        let peer = match peer % 8 {
            user @ 0..4 => Peer::User(Some(user.into())),
            address => Peer::V4(Ipv4Addr::new(192, 0, 2, address)),
        };
        self.last += 1;
        let (id, pending) = (self.last, PendingClient { peer, anonymous });
        let admitted = self.oracle.arrive(self.now, id, pending);
        let decision = self.clients.arrive(self.now, id, pending);
        assert_eq!(decision == AdmissionDecision::Admit, admitted);
        if let AdmissionDecision::Reject(rejected) = decision {
            let one = self.oracle.reject(rejected);
            if rejected != id {
                self.clients.gone(rejected, one.pending.peer);
            }
        }
    }

    fn apply(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Arrive { peer, anonymous } => self.arrive(peer, anonymous),
            Op::Speak(index) => {
                if let Some(at) = self.chosen_waiting(index) {
                    let one = self.oracle.waiting[at];
                    self.clients.spoke(now, one.id);
                    if !one.speaks {
                        self.oracle.waiting.remove(at);
                        let (speaks, since) = (true, now);
                        let speaking = Waiting {
                            speaks,
                            since,
                            ..one
                        };
                        self.oracle.waiting.push(speaking);
                    }
                }
            }
            Op::LeaveQueue(index) => {
                if let Some(at) = self.chosen_waiting(index) {
                    let one = self.oracle.waiting.remove(at);
                    self.clients.gone(one.id, one.pending.peer);
                }
            }
            Op::Progress(index, waits) => {
                if let Some(at) = self.chosen(index) {
                    let client = &mut self.oracle.clients[at];
                    self.clients.progressed(now, client.id, waits);
                    client.has_spoken = true;
                    client.since = (!waits).then_some(now);
                }
            }
            Op::Identify(index) => {
                if let Some(at) = self.chosen(index) {
                    self.clients.identified(self.oracle.clients[at].id);
                    self.oracle.clients[at].is_unidentified = false;
                }
            }
            Op::End(index) => {
                if let Some(at) = self.chosen(index) {
                    let client = &mut self.oracle.clients[at];
                    self.clients.ended(client.id, client.pending.peer);
                    (client.is_unidentified, client.has_ended) = (false, true);
                }
            }
            Op::Leave(index) => {
                if let Some(at) = self.chosen(index) {
                    let client = self.oracle.remove(self.oracle.clients[at].id);
                    self.clients.gone(client.id, client.pending.peer);
                }
            }
            Op::Advance(time) => {
                self.now = now.saturating_add(Duration::from_millis(4 * u64::from(time)));
            }
            Op::SetLimits(limits) => {
                self.oracle.limits = limits.into();
                self.oracle.fill_unreserved(Scope::Local);
                self.clients.set_limits(self.oracle.limits);
            }
        }
    }

    fn settle(&mut self) {
        loop {
            let step = self.clients.next(self.now);
            assert_eq!(step, self.oracle.next(self.now));
            match step {
                Some(AdmissionStep::Evict { id, .. }) => self.clients.gone(id, Peer::Unknown),
                Some(AdmissionStep::Admit(_)) => {}
                None => break,
            }
        }
        self.oracle.check_order();
        let (served, limit) = (self.clients.served(), self.clients.limits().max_clients);
        assert_eq!(served, self.oracle.clients.len());
        assert_eq!(self.clients.waiting(), self.oracle.waiting.len());
        // A lowered limit closes no identified client.
        self.bound = if served <= limit {
            limit
        } else {
            self.bound.max(limit)
        };
        assert!(served <= self.bound, "{served} of {limit} slots");
    }
}

fn run(from: &mut Unstructured<'_>) -> Result<()> {
    let limits: AdmissionLimits = Limits::arbitrary(from)?.into();
    let mut world = World {
        clients: ClientAdmission::new(limits),
        oracle: Oracle::new(limits),
        now: MonotonicTime::ZERO,
        last: 0,
        bound: limits.max_clients,
    };
    while !from.is_empty() {
        world.apply(from.arbitrary()?);
        world.settle();
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // An input that ends within an operation ends the run.
    let _ = run(&mut Unstructured::new(bytes));
});
