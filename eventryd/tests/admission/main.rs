//! Tests of the admission of clients: its properties, and its decisions against a naive model of the rules.

#![cfg(not(loom))]

mod oracle;
mod order;
mod reserve;

use eventry::MonotonicTime;
use eventryd::admission::{
    AdmissionDecision, AdmissionLimit, AdmissionLimits, AdmissionStep, ClientAdmission,
    EVICTION_GRACE, Peer, PendingClient, Scope,
};
use oracle::Oracle;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::Duration;

fn user(uid: u32) -> Peer {
    Peer::User(Some(uid))
}

/// Returns the eviction of a client because of `max_anonymous`.
fn evict(id: u64, max_anonymous: usize) -> AdmissionStep {
    let limit = AdmissionLimit::Anonymous(max_anonymous);
    AdmissionStep::Evict { id, limit }
}

fn address(last: u8) -> Peer {
    Peer::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// A step of a generated sequence. Numbers choose among the clients or the waiting clients.
#[derive(Clone, Debug)]
enum Step {
    Arrive(PendingClient),
    Speak(usize),
    DisconnectWaiting(usize),
    Progress(usize, bool),
    Identify(usize),
    End(usize),
    Disconnect(usize),
    Advance(Duration),
    SetLimits(AdmissionLimits),
}

fn limits() -> impl Strategy<Value = AdmissionLimits> {
    let max_clients = prop_oneof![1..14_usize, 64..67_usize];
    let all = (max_clients, any::<bool>(), 0..4_usize);
    all.prop_map(
        |(max_clients, serves_networks, max_anonymous)| AdmissionLimits {
            max_clients,
            serves_networks,
            max_anonymous,
            max_waiting: 12,
            eviction_grace: EVICTION_GRACE,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let peer = prop_oneof![(0..3_u32).prop_map(user), (0..3_u8).prop_map(address)];
    let pending = (peer, any::<bool>());
    let pending = pending.prop_map(|(peer, anonymous)| PendingClient { peer, anonymous });
    prop_oneof![
        8 => pending.prop_map(Step::Arrive),
        6 => any::<usize>().prop_map(Step::Speak),
        1 => any::<usize>().prop_map(Step::DisconnectWaiting),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(index, waits)| Step::Progress(index, waits)),
        2 => any::<usize>().prop_map(Step::Identify),
        1 => any::<usize>().prop_map(Step::End),
        2 => any::<usize>().prop_map(Step::Disconnect),
        4 => (0..600_u64).prop_map(|millis| Step::Advance(Duration::from_millis(millis))),
        1 => limits().prop_map(Step::SetLimits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn admission_agrees_with_the_oracle(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut clients = ClientAdmission::new(limits);
        let mut oracle = Oracle::new(limits);
        let mut now = MonotonicTime::ZERO;
        let mut most = limits.max_clients;
        for (id, step) in (1..).zip(steps) {
            let chosen_of = |count: usize, index: usize| (count > 0).then(|| index % count.max(1));
            let chosen = |index: usize| chosen_of(oracle.clients.len(), index);
            let chosen_waiting = |index: usize| chosen_of(oracle.waiting.len(), index);
            match step {
                Step::Arrive(pending) => {
                    let admitted = oracle.arrive(now, id, pending);
                    match clients.arrive(now, id, pending) {
                        AdmissionDecision::Admit => prop_assert!(admitted),
                        AdmissionDecision::Wait => prop_assert!(!admitted),
                        AdmissionDecision::Reject(refused) => {
                            prop_assert!(!admitted);
                            let one = oracle.reject(refused);
                            if refused != id {
                                clients.gone(refused, one.pending.peer);
                            }
                        }
                    }
                }
                Step::Speak(index) => if let Some(at) = chosen_waiting(index) {
                    let one = oracle.waiting[at];
                    clients.spoke(now, one.id);
                    if !one.speaks {
                        oracle.waiting.remove(at);
                        oracle.waiting.push(oracle::Waiting { speaks: true, since: now, ..one });
                    }
                },
                Step::DisconnectWaiting(index) => if let Some(at) = chosen_waiting(index) {
                    let one = oracle.waiting.remove(at);
                    clients.gone(one.id, one.pending.peer);
                },
                Step::Progress(index, waits) => if let Some(at) = chosen(index) {
                    let client = &mut oracle.clients[at];
                    clients.progressed(now, client.id, waits);
                    client.has_spoken = true;
                    client.since = (!waits).then_some(now);
                },
                Step::Identify(index) => if let Some(at) = chosen(index) {
                    clients.identified(oracle.clients[at].id);
                    oracle.clients[at].is_unidentified = false;
                },
                Step::End(index) => if let Some(at) = chosen(index) {
                    let client = &mut oracle.clients[at];
                    clients.ended(client.id, client.pending.peer);
                    client.is_unidentified = false;
                    client.has_ended = true;
                },
                Step::Disconnect(index) => if let Some(at) = chosen(index) {
                    let client = oracle.remove(oracle.clients[at].id);
                    clients.gone(client.id, client.pending.peer);
                },
                Step::Advance(time) => now = now.saturating_add(time),
                Step::SetLimits(limits) => {
                    oracle.limits = limits;
                    oracle.fill_unreserved(Scope::Local);
                    clients.set_limits(limits);
                }
            }
            loop {
                let (step, expected) = (clients.next(now), oracle.next(now));
                prop_assert_eq!(step, expected);
                match step {
                    // The server closes the connection of an evicted client.
                    Some(AdmissionStep::Evict { id, .. }) => clients.gone(id, user(0)),
                    Some(AdmissionStep::Admit(_)) => {}
                    None => break,
                }
            }
            oracle.check_order();
            prop_assert_eq!(clients.waiting(), oracle.waiting.len());
            prop_assert_eq!(clients.served(), oracle.clients.len());
            // The hard limit. A lowered limit closes no identified client.
            most = most.max(clients.limits().max_clients);
            prop_assert!(clients.served() <= most);
            if clients.served() <= clients.limits().max_clients {
                most = clients.limits().max_clients;
            }
            // Nothing changes before the time of `retry_at`.
            if let Some(at) = clients.retry_at(now) {
                prop_assert!(at > now);
                let before = MonotonicTime::from_nanos(at.as_nanos() - 1);
                prop_assert_eq!(clients.next(before), None);
            } else {
                let never = MonotonicTime::from_nanos(u64::MAX - 1);
                prop_assert_eq!(clients.next(never), None);
            }
        }
    }
}

/// An admission control with a clock.
struct Fixture {
    clients: ClientAdmission,
    now: MonotonicTime,
    last: u64,
}

impl Fixture {
    fn new(max_clients: usize, max_anonymous: usize) -> Fixture {
        let limits = AdmissionLimits {
            max_clients,
            serves_networks: true,
            max_anonymous,
            max_waiting: 1000,
            eviction_grace: EVICTION_GRACE,
        };
        Fixture {
            clients: ClientAdmission::new(limits),
            now: MonotonicTime::ZERO,
            last: 0,
        }
    }

    fn arrive(&mut self, peer: Peer, anonymous: bool) -> (u64, AdmissionDecision) {
        self.last += 1;
        let pending = PendingClient { peer, anonymous };
        let arrival = self.clients.arrive(self.now, self.last, pending);
        (self.last, arrival)
    }

    /// Adds a client that sends something at once; returns `true` if it is admitted.
    fn arrive_speaking(&mut self, peer: Peer, anonymous: bool) -> (u64, bool) {
        let (id, decision) = self.arrive(peer, anonymous);
        self.clients.spoke(self.now, id);
        let steps = self.steps();
        (
            id,
            decision == AdmissionDecision::Admit || steps.contains(&AdmissionStep::Admit(id)),
        )
    }

    fn advance(&mut self, millis: u64) {
        self.now = self.now.saturating_add(Duration::from_millis(millis));
    }

    fn steps(&mut self) -> Vec<AdmissionStep> {
        std::iter::from_fn(|| self.clients.next(self.now)).collect()
    }

    /// Advances the clock until client `id` is admitted; returns `false` if that takes 5 s.
    fn is_admitted_soon(&mut self, id: u64) -> bool {
        for _ in 0..100 {
            if self.steps().contains(&AdmissionStep::Admit(id)) {
                return true;
            }
            match self.clients.retry_at(self.now) {
                Some(at)
                    if at.saturating_duration_since(MonotonicTime::ZERO)
                        < Duration::from_secs(5) =>
                {
                    self.now = at
                }
                _ => return false,
            }
        }
        false
    }
}

#[test]
fn forty_silent_clients_of_one_user_block_no_other_client() {
    let mut fixture = Fixture::new(5000, 20);
    for _ in 0..40 {
        fixture.arrive(user(0), true);
    }
    // A client that connects at the same time waits for half the grace at most.
    let (id, is_admitted) = fixture.arrive_speaking(user(0), true);
    assert!(is_admitted || fixture.is_admitted_soon(id));
    assert!(fixture.now.saturating_duration_since(MonotonicTime::ZERO) <= EVICTION_GRACE / 2);
    // Later clients are admitted at once, one after the other.
    fixture.advance(EVICTION_GRACE.as_millis() as u64);
    for _ in 0..500 {
        let (id, is_admitted) = fixture.arrive_speaking(user(0), true);
        assert!(is_admitted);
        fixture.clients.identified(id);
        fixture.steps();
        fixture.advance(20);
        // The evicted client connects again.
        fixture.arrive(user(0), true);
    }
}

/// A peer with many busy clients does not block other peers.
#[test]
fn flooding_peer_is_evicted_for_another_peer() {
    for (flood, other) in [
        (user(1), user(2)),
        (address(1), address(2)),
        (address(1), Peer::V6(7)),
    ] {
        let mut fixture = Fixture::new(5000, 20);
        for _ in 0..500 {
            let (id, is_admitted) = fixture.arrive_speaking(flood, true);
            if is_admitted {
                // These clients wait for the daemon.
                fixture.clients.progressed(fixture.now, id, true);
            }
        }
        fixture.advance(10);
        assert_eq!(fixture.steps(), []);
        let (id, is_admitted) = fixture.arrive_speaking(other, true);
        assert!(
            !is_admitted,
            "no client is evicted before the grace is over"
        );
        let begun = fixture.now;
        assert!(fixture.is_admitted_soon(id));
        assert!(fixture.now.saturating_duration_since(begun) <= EVICTION_GRACE);
    }
}

#[test]
fn progressing_client_is_not_evicted_by_its_own_peer() {
    let mut fixture = Fixture::new(5000, 2);
    let (first, _) = fixture.arrive(user(1), true);
    let (second, _) = fixture.arrive(user(1), true);
    fixture.clients.progressed(fixture.now, second, false);
    fixture.advance(400);
    fixture.clients.progressed(fixture.now, first, false);
    for _ in 0..10 {
        fixture.arrive_speaking(user(1), true);
    }
    fixture.advance(200);
    assert_eq!(fixture.steps(), [evict(second, 2), AdmissionStep::Admit(3)]);
    fixture.advance(200);
    assert_eq!(
        fixture.steps(),
        [],
        "both clients have made progress in time"
    );
    fixture.clients.progressed(fixture.now, first, true);
    fixture.advance(10_000);
    // A client that waits for the daemon is not evicted.
    let steps = fixture.steps();
    assert!(!steps.contains(&evict(first, 2)), "{steps:?}");
}

#[test]
fn light_peer_is_never_evicted_for_a_heavy_one() {
    let mut fixture = Fixture::new(5000, 20);
    let (light, _) = fixture.arrive(user(1), true);
    for _ in 0..1000 {
        fixture.arrive(user(2), true);
        fixture.clients.spoke(fixture.now, fixture.last);
        fixture.advance(7);
        let steps = fixture.steps();
        assert!(!steps.contains(&evict(light, 20)), "{steps:?}");
    }
}

#[test]
fn silent_client_is_evicted_before_a_speaking_one() {
    let mut fixture = Fixture::new(5000, 2);
    let (speaking, _) = fixture.arrive(user(1), true);
    fixture.clients.progressed(fixture.now, speaking, false);
    fixture.advance(100);
    let (silent, _) = fixture.arrive(user(1), true);
    fixture.advance(5000);
    let (third, _) = fixture.arrive(user(1), true);
    assert_eq!(
        fixture.steps(),
        [],
        "a silent client evicts no other client"
    );
    fixture.clients.spoke(fixture.now, third);
    assert_eq!(
        fixture.steps(),
        [evict(silent, 2), AdmissionStep::Admit(third)]
    );
}

#[test]
fn anonymous_limits_of_network_and_local_are_separate() {
    let mut fixture = Fixture::new(5000, 2);
    for last in 0..100 {
        fixture.arrive_speaking(address(last), true);
    }
    assert_eq!(fixture.arrive(user(0), true).1, AdmissionDecision::Admit);
    assert_eq!(fixture.arrive(user(0), true).1, AdmissionDecision::Admit);
    assert_eq!(fixture.arrive(user(0), true).1, AdmissionDecision::Wait);
}

#[test]
fn full_queue_refuses_the_longest_silent_client() {
    let limits = AdmissionLimits {
        max_clients: 10,
        serves_networks: true,
        max_anonymous: 1,
        max_waiting: 3,
        eviction_grace: EVICTION_GRACE,
    };
    let mut clients = ClientAdmission::new(limits);
    let arrive = |clients: &mut ClientAdmission, id, uid| {
        let peer = user(uid);
        let anonymous = true;
        clients.arrive(MonotonicTime::ZERO, id, PendingClient { peer, anonymous })
    };
    assert_eq!(arrive(&mut clients, 1, 0), AdmissionDecision::Admit);
    for id in [2, 3, 4] {
        assert_eq!(arrive(&mut clients, id, 0), AdmissionDecision::Wait);
    }
    clients.spoke(MonotonicTime::ZERO, 2);
    assert_eq!(arrive(&mut clients, 5, 0), AdmissionDecision::Reject(3));
    clients.gone(3, user(0));
    assert_eq!(
        arrive(&mut clients, 6, 1),
        AdmissionDecision::Reject(4),
        "the other peer waits"
    );
    clients.gone(4, user(0));
    for id in [5, 6] {
        clients.spoke(MonotonicTime::ZERO, id);
    }
    assert_eq!(
        arrive(&mut clients, 7, 0),
        AdmissionDecision::Reject(7),
        "all others speak"
    );
    assert_eq!(clients.waiting(), 3);
}

#[test]
fn lower_limits_keep_identified_clients() {
    // Two of these are reserved.
    let mut fixture = Fixture::new(12, 0);
    for _ in 0..10 {
        let (id, _) = fixture.arrive(user(1), false);
        fixture.clients.identified(id);
    }
    fixture.clients.set_limits(AdmissionLimits {
        max_clients: 2,
        serves_networks: true,
        max_anonymous: 0,
        max_waiting: 10,
        eviction_grace: EVICTION_GRACE,
    });
    fixture.arrive(user(1), false);
    fixture.advance(10_000);
    assert_eq!(fixture.steps(), []);
    for id in 1..=8 {
        fixture.clients.gone(id, user(1));
    }
    assert_eq!(fixture.steps(), []);
    fixture.clients.gone(9, user(1));
    assert_eq!(fixture.steps(), [AdmissionStep::Admit(11)]);
}
