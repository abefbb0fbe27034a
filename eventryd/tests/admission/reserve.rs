//! The hard limit, and the slots that are reserved for peers with few.

use crate::{Fixture, address, user};
use eventryd::admission::{
    AdmissionDecision, AdmissionLimit, AdmissionLimits, AdmissionStep, Peer,
};

/// Admits identified clients of the peer until one has to wait. Returns their number.
fn fill(fixture: &mut Fixture, peer: Peer) -> usize {
    let mut held = 0;
    loop {
        let (id, is_admitted) = fixture.arrive_speaking(peer, false);
        if !is_admitted {
            // The waiting client leaves again.
            fixture.clients.gone(id, peer);
            return held;
        }
        fixture.clients.identified(id);
        held += 1;
    }
}

#[test]
fn peer_with_all_other_slots_leaves_the_reserved_ones() {
    let mut fixture = Fixture::new(320, 0);
    let (first, _) = fixture.arrive(user(0), false);
    fixture.clients.identified(first);
    assert_eq!(fill(&mut fixture, address(1)), 299);
    fixture.advance(100_000);
    assert_eq!(fixture.steps(), [], "identified clients are not evicted");
    // A peer with few slots and peers without slots get the reserved slots of their scope.
    let peers = [
        user(0),
        user(1),
        user(2),
        address(2),
        address(3),
        address(4),
    ];
    let held = peers.map(|peer| fill(&mut fixture, peer));
    assert_eq!(held, [8, 2, 0, 8, 2, 0]);
    assert_eq!(fixture.clients.served(), 320);
    // A client that waits gets the slot of one that leaves, if it needs no reserved one.
    let (waiting, _) = fixture.arrive_speaking(user(3), false);
    let (large, _) = fixture.arrive_speaking(address(1), false);
    fixture.clients.gone(first, user(0));
    assert_eq!(fixture.steps(), [AdmissionStep::Admit(waiting)]);
    assert_eq!(fixture.clients.served(), 320);
    fixture.clients.gone(large, address(1));
}

#[test]
fn no_slot_is_reserved_below_eight_or_without_a_network() {
    for (max_clients, serves_networks, alone) in [
        (1, true, 1),
        (7, true, 7),
        (8, true, 6),
        (8, false, 7),
        (20, true, 18),
        (20, false, 19),
        (63, true, 61),
        (64, true, 60),
    ] {
        let mut fixture = Fixture::new(max_clients, 0);
        let limits = AdmissionLimits {
            serves_networks,
            ..fixture.clients.limits()
        };
        fixture.clients.set_limits(limits);
        assert_eq!(fill(&mut fixture, user(0)), alone, "of {max_clients}");
    }
}

/// With one slot, the clients have it one after the other, in the order in which they came.
#[test]
fn single_slot_is_first_come_first_served() {
    let mut fixture = Fixture::new(1, 0);
    let peers = [user(0), user(1), address(1)];
    let ids = peers.map(|peer| {
        let (id, _) = fixture.arrive_speaking(peer, false);
        fixture.clients.identified(id);
        fixture.advance(1);
        id
    });
    for (index, peer) in peers.into_iter().enumerate() {
        assert_eq!(fixture.clients.served(), 1);
        fixture.clients.gone(ids[index], peer);
        let next = ids.get(index + 1).map(|id| AdmissionStep::Admit(*id));
        assert_eq!(fixture.steps(), next.into_iter().collect::<Vec<_>>());
        ids.get(index + 1)
            .inspect(|id| fixture.clients.identified(**id));
    }
}

/// The anonymous clients of a large peer have no slot, but the peer has. They do not block a peer without any slot.
#[test]
fn queue_of_a_large_peer_does_not_block_a_peer_without_slots() {
    let mut fixture = Fixture::new(20, 5);
    assert_eq!(fill(&mut fixture, user(0)), 18);
    let (waiting, is_admitted) = fixture.arrive_speaking(user(0), true);
    assert!(!is_admitted);
    fixture.advance(10);
    let (_, is_admitted) = fixture.arrive_speaking(user(1), true);
    assert!(is_admitted);
    fixture.clients.gone(waiting, user(0));
}

/// An eviction that does not give the slot to the claimant would be in vain.
#[test]
fn stalled_client_is_not_evicted_for_one_that_has_no_slot_then() {
    let mut fixture = Fixture::new(20, 1);
    assert_eq!(fill(&mut fixture, user(0)), 18);
    let (stalled, is_admitted) = fixture.arrive_speaking(user(1), true);
    assert!(is_admitted);
    fixture.arrive_speaking(user(0), true);
    fixture.advance(100_000);
    assert_eq!(fixture.steps(), []);
    // A peer without slots gets the slot.
    let (id, is_admitted) = fixture.arrive_speaking(user(2), true);
    assert!(is_admitted, "{stalled} is evicted for {id}");
}

/// Clients that have ended do not keep others out, whatever peer they are of. They stay while no other client needs a
/// slot.
#[test]
fn ended_client_is_the_first_to_be_evicted() {
    let mut fixture = Fixture::new(2, 1);
    let (ended, _) = fixture.arrive(user(0), true);
    let (silent, _) = fixture.arrive(user(1), false);
    fixture.advance(100_000);
    fixture.clients.ended(ended, user(0));
    assert_eq!(fixture.steps(), []);
    let (quiet, decision) = fixture.arrive(user(1), true);
    assert_eq!(decision, AdmissionDecision::Wait);
    assert_eq!(fixture.steps(), [], "no client is evicted for a silent one");
    fixture.clients.spoke(fixture.now, quiet);
    let limit = AdmissionLimit::Clients(2);
    let evict = |id| AdmissionStep::Evict { id, limit };
    assert_eq!(fixture.steps(), [evict(ended), AdmissionStep::Admit(quiet)]);
    // The number of clients at once includes those of the past.
    assert_eq!(fixture.clients.most_served(), 2);
    // A waiting client has no slot to give up.
    let (waiting, _) = fixture.arrive(user(2), false);
    fixture.clients.ended(waiting, user(2));
    let (other, _) = fixture.arrive(user(3), true);
    fixture.clients.spoke(fixture.now, other);
    assert_eq!(fixture.steps(), []);
    for (id, peer) in [(waiting, user(2)), (other, user(3))] {
        fixture.clients.gone(id, peer);
    }
    // An ended client that goes by itself leaves no trace, and one without a slot is none.
    fixture.clients.gone(ended, user(0));
    fixture.clients.ended(quiet, user(1));
    fixture.clients.gone(quiet, user(1));
    assert_eq!(fixture.clients.served(), 1);
    for uid in [2, 3] {
        let (id, _) = fixture.arrive(user(uid), false);
        fixture.clients.ended(id, user(uid));
    }
    let (next, _) = fixture.arrive(user(4), false);
    fixture.clients.spoke(fixture.now, next);
    assert_eq!(fixture.steps()[0], evict(fixture.last - 2));
    fixture.clients.gone(silent, user(1));
    assert!(fixture.clients.served() <= 2);
}

#[test]
fn waiting_clients_are_admitted_when_the_limit_grows() {
    let mut fixture = Fixture::new(2, 0);
    for _ in 0..30 {
        let (id, is_admitted) = fixture.arrive_speaking(user(0), false);
        if is_admitted {
            fixture.clients.identified(id);
        }
    }
    assert_eq!(
        (fixture.clients.served(), fixture.clients.waiting()),
        (2, 28)
    );
    for (max_clients, served) in [(8, 6), (20, 18), (64, 30)] {
        fixture.clients.set_limits(AdmissionLimits {
            max_clients,
            ..fixture.clients.limits()
        });
        fixture.steps();
        assert_eq!(fixture.clients.served(), served);
    }
}

#[test]
fn slot_of_a_reserved_client_is_free_after_lower_limits() {
    let mut fixture = Fixture::new(12, 0);
    assert_eq!(fill(&mut fixture, user(1)), 10);
    let reserved = [user(2), address(1)].map(|peer| {
        let (id, is_admitted) = fixture.arrive_speaking(peer, false);
        fixture.clients.identified(id);
        assert!(is_admitted);
        id
    });
    let limits = AdmissionLimits {
        max_clients: 8,
        ..fixture.clients.limits()
    };
    fixture.clients.set_limits(limits);
    fixture.clients.gone(reserved[1], address(1));
    for id in 1..=4 {
        fixture.clients.gone(id, user(1));
    }
    // Six unreserved slots are taken, and the reserved one of users.
    assert_eq!(fixture.clients.served(), 7);
    let (_, is_admitted) = fixture.arrive_speaking(address(2), false);
    assert!(is_admitted);
}
