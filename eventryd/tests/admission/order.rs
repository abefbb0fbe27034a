//! The order of waiting clients over all kinds of sockets.

use crate::{Fixture, address, evict, user};
use eventryd::admission::{
    AdmissionDecision, AdmissionLimits, AdmissionStep, ClientAdmission, EVICTION_GRACE, Peer,
};
use std::collections::VecDeque;

/// A user on a socket with authentication and on one without, an address on TLS and on TCP.
fn kinds() -> [(Peer, bool); 4] {
    [
        (user(1), true),
        (user(1), false),
        (address(1), true),
        (address(1), false),
    ]
}

/// Clients of one kind of socket that connect again and again do not keep out a client of any other kind: one of the same
/// peer is served in its turn, one of another peer next.
#[test]
fn flood_on_one_kind_of_socket_blocks_no_other_kind() {
    for flood in kinds() {
        for (peer, anonymous) in kinds() {
            for peer in [peer, user(2), address(2)] {
                let before = served_before(flood, (peer, anonymous));
                let expected = if peer == flood.0 { 30 } else { 0 };
                let client = (peer, anonymous);
                assert_eq!(before, expected, "{client:?} among clients of {flood:?}");
            }
        }
    }
}

/// Runs 34 clients with 4 slots, one of which leaves and connects again each millisecond. Returns the number of them that
/// are served before another client, which sends something when they all have; at most 100.
fn served_before(flood: (Peer, bool), client: (Peer, bool)) -> usize {
    let mut fixture = Fixture::new(4, 0);
    let mut held: VecDeque<u64> = (0..34)
        .filter_map(|_| {
            let (id, is_admitted) = fixture.arrive_speaking(flood.0, flood.1);
            is_admitted.then_some(id)
        })
        .collect();
    fixture.advance(1);
    let (waiting, is_admitted) = fixture.arrive_speaking(client.0, client.1);
    assert_eq!((held.len(), is_admitted), (4, false));
    for served in 0..100 {
        fixture.advance(1);
        let leaving = held.pop_front().expect("a client has a slot");
        fixture.clients.gone(leaving, flood.0);
        fixture.arrive(flood.0, flood.1);
        fixture.clients.spoke(fixture.now, fixture.last);
        let [AdmissionStep::Admit(id)] = fixture.steps()[..] else {
            panic!("one slot is free");
        };
        if id == waiting {
            return served;
        }
        held.push_back(id);
    }
    100
}

/// A connection that is accepted between the end of a client and the next step does not take the free slot.
#[test]
fn new_client_does_not_overtake_one_on_another_socket() {
    for (kind, other) in [(true, false), (false, true)] {
        let mut fixture = Fixture::new(2, 0);
        let (first, _) = fixture.arrive(address(1), other);
        fixture.arrive(address(1), other);
        let (waiting, is_admitted) = fixture.arrive_speaking(address(1), kind);
        assert!(!is_admitted);
        fixture.clients.gone(first, address(1));
        let (_, decision) = fixture.arrive(address(1), other);
        assert_eq!(decision, AdmissionDecision::Wait);
        assert_eq!(fixture.steps(), [AdmissionStep::Admit(waiting)]);
    }
}

/// Clients that wait for anonymous slots delay no client that needs none.
#[test]
fn anonymous_limit_delays_no_other_kind() {
    let mut fixture = Fixture::new(100, 1);
    for _ in 0..30 {
        fixture.arrive_speaking(address(1), true);
    }
    for peer in [address(1), address(2)] {
        assert_eq!(fixture.arrive(peer, false).1, AdmissionDecision::Admit);
    }
}

/// While only anonymous slots are scarce, the peer with the fewest of these comes first, even if it has more slots.
/// While slots of any kind are scarce, it comes last. Silent clients do not make them scarce, nor do anonymous clients
/// that have no anonymous slot.
#[test]
fn scarce_kind_of_slot_decides_about_the_order() {
    for (max_clients, speaks, is_scarce) in [(30, true, false), (7, false, false), (7, true, true)]
    {
        let mut fixture = Fixture::new(max_clients, 2);
        for _ in 0..5 {
            let (id, _) = fixture.arrive(user(1), false);
            fixture.clients.identified(id);
        }
        let leaving = [0, 1].map(|_| fixture.arrive(user(2), true).0)[0];
        let of_light = [(); 40].map(|()| fixture.arrive_speaking(user(2), true).0)[0];
        fixture.advance(1);
        let (of_heavy, _) = fixture.arrive_speaking(user(1), true);
        // This one needs a slot of any kind, and is last in the order.
        let (last, _) = fixture.arrive(user(1), false);
        if speaks {
            fixture.clients.spoke(fixture.now, last);
        }
        fixture.steps();
        fixture.clients.gone(leaving, user(2));
        let first = if is_scarce { of_light } else { of_heavy };
        assert_eq!(fixture.steps(), [AdmissionStep::Admit(first)]);
    }
}

/// The slot of an evicted client goes to the one for which it was evicted, although another one comes first.
#[test]
fn slot_of_an_evicted_client_goes_to_its_claimant() {
    let mut fixture = Fixture::new(7, 2);
    for _ in 0..5 {
        let (id, _) = fixture.arrive(user(1), false);
        fixture.clients.identified(id);
    }
    let busy = [0, 1].map(|_| fixture.arrive(user(2), true).0);
    for id in busy {
        fixture.clients.progressed(fixture.now, id, true);
    }
    let (claimant, _) = fixture.arrive_speaking(user(1), true);
    fixture.advance(EVICTION_GRACE.as_millis() as u64);
    let (first, _) = fixture.arrive(user(2), false);
    fixture.clients.spoke(fixture.now, first);
    let expected = [evict(busy[0], 2), AdmissionStep::Admit(claimant)];
    assert_eq!(fixture.steps(), expected);
    // The other one is next.
    fixture.clients.gone(busy[1], user(2));
    assert_eq!(fixture.steps(), [AdmissionStep::Admit(first)]);
}

/// A full queue rejects clients of the kind of which the most wait, so that a flood on one kind of socket closes none
/// that wait on another.
#[test]
fn full_queue_rejects_the_kind_with_the_most_clients() {
    let limits = AdmissionLimits {
        max_clients: 1,
        serves_networks: true,
        max_anonymous: 0,
        max_waiting: 4,
        eviction_grace: EVICTION_GRACE,
    };
    for flood in [true, false] {
        let mut fixture = Fixture {
            clients: ClientAdmission::new(limits),
            ..Fixture::new(1, 0)
        };
        let arrive = |fixture: &mut Fixture, anonymous| fixture.arrive(address(1), anonymous);
        arrive(&mut fixture, flood);
        for _ in 0..4 {
            let (id, _) = arrive(&mut fixture, flood);
            fixture.clients.spoke(fixture.now, id);
        }
        // The last one of the flood makes room.
        let (other, decision) = arrive(&mut fixture, !flood);
        assert_eq!(decision, AdmissionDecision::Reject(other - 1));
        fixture.clients.gone(other - 1, address(1));
        for _ in 0..10 {
            let (id, decision) = arrive(&mut fixture, flood);
            assert_eq!(decision, AdmissionDecision::Reject(id));
        }
        fixture.clients.spoke(fixture.now, other);
        assert_eq!(fixture.clients.waiting(), 4);
    }
}
