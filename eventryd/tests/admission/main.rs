//! Who gets a place: against a naive model of the rules, and what they promise.

#![cfg(not(loom))]

mod oracle;

use eventry::MonotonicTime;
use eventryd::admission::{
    AdmissionDecision, AdmissionLimit, AdmissionLimits, AdmissionStep, ClientAdmission,
    EVICTION_GRACE, Peer, PendingClient,
};
use oracle::Naive;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::Duration;

fn user(uid: u32) -> Peer {
    Peer::User(Some(uid))
}

/// The eviction of a client for the sake of `max_anonymous`.
fn evict(id: u64, max_anonymous: usize) -> AdmissionStep {
    let limit = AdmissionLimit::Anonymous(max_anonymous);
    AdmissionStep::Evict { id, limit }
}

fn address(last: u8) -> Peer {
    Peer::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// What happens. Clients are chosen among those who are there by a number.
#[derive(Clone, Debug)]
enum Happening {
    Arrive(PendingClient),
    Speak(usize),
    Vanish(usize),
    Progress(usize, bool),
    Settle(usize),
    Go(usize),
    Pass(Duration),
    Change(AdmissionLimits),
}

fn limits() -> impl Strategy<Value = AdmissionLimits> {
    (1..8_usize, 0..4_usize).prop_map(|(max_clients, max_anonymous)| AdmissionLimits {
        max_clients,
        max_anonymous,
        max_waiting: 12,
        eviction_grace: EVICTION_GRACE,
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let peer = prop_oneof![(0..3_u32).prop_map(user), (0..3_u8).prop_map(address)];
    let newcomer = (peer, any::<bool>());
    let newcomer = newcomer.prop_map(|(peer, anonymous)| PendingClient { peer, anonymous });
    prop_oneof![
        8 => newcomer.prop_map(Happening::Arrive),
        6 => any::<usize>().prop_map(Happening::Speak),
        1 => any::<usize>().prop_map(Happening::Vanish),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(who, waits)| Happening::Progress(who, waits)),
        2 => any::<usize>().prop_map(Happening::Settle),
        2 => any::<usize>().prop_map(Happening::Go),
        4 => (0..600_u64).prop_map(|millis| Happening::Pass(Duration::from_millis(millis))),
        1 => limits().prop_map(Happening::Change),
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
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let mut clients = ClientAdmission::new(limits);
        let mut naive = Naive { limits, clients: Vec::new(), waiting: Vec::new() };
        let mut now = MonotonicTime::ZERO;
        for (id, happening) in (1..).zip(happenings) {
            let chosen_of = |count: usize, who: usize| (count > 0).then(|| who % count.max(1));
            let chosen = |who: usize| chosen_of(naive.clients.len(), who);
            let chosen_waiting = |who: usize| chosen_of(naive.waiting.len(), who);
            match happening {
                Happening::Arrive(newcomer) => {
                    let admitted = naive.arrive(now, id, newcomer);
                    match clients.arrive(now, id, newcomer) {
                        AdmissionDecision::Admit => prop_assert!(admitted),
                        AdmissionDecision::Wait => prop_assert!(!admitted),
                        AdmissionDecision::Reject(refused) => {
                            prop_assert!(!admitted);
                            let one = *naive.waiting.iter().find(|w| w.id == refused).unwrap();
                            let count = |peer| naive.waiting.iter().filter(|w| w.newcomer.peer == peer).count();
                            let most = naive.waiting.iter().map(|w| count(w.newcomer.peer)).max();
                            prop_assert_eq!(Some(count(one.newcomer.peer)), most);
                            if refused != id {
                                clients.gone(refused, one.newcomer.peer);
                            }
                            naive.waiting.retain(|w| w.id != refused);
                        }
                    }
                }
                Happening::Speak(who) => if let Some(at) = chosen_waiting(who) {
                    let one = naive.waiting[at];
                    clients.spoke(now, one.id);
                    if !one.speaks {
                        naive.waiting.remove(at);
                        naive.waiting.push(oracle::Waiting { speaks: true, since: now, ..one });
                    }
                },
                Happening::Vanish(who) => if let Some(at) = chosen_waiting(who) {
                    let one = naive.waiting.remove(at);
                    clients.gone(one.id, one.newcomer.peer);
                },
                Happening::Progress(who, waits) => if let Some(at) = chosen(who) {
                    let client = &mut naive.clients[at];
                    clients.progressed(now, client.id, waits);
                    client.has_spoken = true;
                    client.since = (!waits).then_some(now);
                },
                Happening::Settle(who) => if let Some(at) = chosen(who) {
                    clients.identified(naive.clients[at].id);
                    naive.clients[at].is_unidentified = false;
                },
                Happening::Go(who) => if let Some(at) = chosen(who) {
                    let client = naive.clients.remove(at);
                    clients.gone(client.id, client.newcomer.peer);
                },
                Happening::Pass(time) => now = now.saturating_add(time),
                Happening::Change(limits) => {
                    naive.limits = limits;
                    clients.set_limits(limits);
                }
            }
            loop {
                let (step, expected) = (clients.next(now), naive.next(now));
                prop_assert_eq!(step, expected);
                match step {
                    // Its connection is closed a moment later.
                    Some(AdmissionStep::Evict { id, .. }) => clients.gone(id, user(0)),
                    Some(AdmissionStep::Admit(_)) => {}
                    None => break,
                }
            }
            prop_assert_eq!(clients.waiting(), naive.waiting.len());
            // Nothing changes by itself before the time it names.
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

/// A daemon with these limits, and what happens to it.
struct Scene {
    clients: ClientAdmission,
    now: MonotonicTime,
    last: u64,
}

impl Scene {
    fn new(max_clients: usize, max_anonymous: usize) -> Scene {
        let limits = AdmissionLimits {
            max_clients,
            max_anonymous,
            max_waiting: 1000,
            eviction_grace: EVICTION_GRACE,
        };
        Scene {
            clients: ClientAdmission::new(limits),
            now: MonotonicTime::ZERO,
            last: 0,
        }
    }

    fn arrive(&mut self, peer: Peer, anonymous: bool) -> (u64, AdmissionDecision) {
        self.last += 1;
        let newcomer = PendingClient { peer, anonymous };
        let arrival = self.clients.arrive(self.now, self.last, newcomer);
        (self.last, arrival)
    }

    /// The same of one who says something at once; whether it has a place.
    fn arrive_speaking(&mut self, peer: Peer, anonymous: bool) -> (u64, bool) {
        let (id, verdict) = self.arrive(peer, anonymous);
        self.clients.spoke(self.now, id);
        let steps = self.steps();
        (
            id,
            verdict == AdmissionDecision::Admit || steps.contains(&AdmissionStep::Admit(id)),
        )
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.saturating_add(Duration::from_millis(millis));
    }

    fn steps(&mut self) -> Vec<AdmissionStep> {
        std::iter::from_fn(|| self.clients.next(self.now)).collect()
    }

    /// Whether the newcomer `id` is given a place before long, and what the others had to do for it.
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
    let mut scene = Scene::new(5000, 20);
    for _ in 0..40 {
        scene.arrive(user(0), true);
    }
    // Not even at that moment.
    let (id, has_place) = scene.arrive_speaking(user(0), true);
    assert!(has_place || scene.is_admitted_soon(id));
    assert!(scene.now.saturating_duration_since(MonotonicTime::ZERO) <= EVICTION_GRACE / 2);
    // And later at once, one after the other.
    scene.pass(EVICTION_GRACE.as_millis() as u64);
    for _ in 0..500 {
        let (id, has_place) = scene.arrive_speaking(user(0), true);
        assert!(has_place);
        scene.clients.identified(id);
        scene.steps();
        scene.pass(20);
        // Whoever had to give way comes back.
        scene.arrive(user(0), true);
    }
}

/// Those who act busy do not keep others out either: neither one user, nor one address.
#[test]
fn flooding_peer_is_evicted_for_another_peer() {
    for (flood, other) in [
        (user(1), user(2)),
        (address(1), address(2)),
        (address(1), Peer::V6(7)),
    ] {
        let mut scene = Scene::new(5000, 20);
        for _ in 0..500 {
            let (id, has_place) = scene.arrive_speaking(flood, true);
            if has_place {
                // They wait for us, and would for ever.
                scene.clients.progressed(scene.now, id, true);
            }
        }
        scene.pass(10);
        assert_eq!(scene.steps(), []);
        let (id, has_place) = scene.arrive_speaking(other, true);
        assert!(!has_place, "nobody is cut off in the midst");
        let begun = scene.now;
        assert!(scene.is_admitted_soon(id));
        assert!(scene.now.saturating_duration_since(begun) <= EVICTION_GRACE);
    }
}

#[test]
fn progressing_client_is_not_evicted_by_its_own_peer() {
    let mut scene = Scene::new(5000, 2);
    let (first, _) = scene.arrive(user(1), true);
    let (second, _) = scene.arrive(user(1), true);
    scene.clients.progressed(scene.now, second, false);
    scene.pass(400);
    scene.clients.progressed(scene.now, first, false);
    for _ in 0..10 {
        scene.arrive_speaking(user(1), true);
    }
    scene.pass(200);
    assert_eq!(scene.steps(), [evict(second, 2), AdmissionStep::Admit(3)]);
    scene.pass(200);
    assert_eq!(scene.steps(), [], "both have done something in time");
    scene.clients.progressed(scene.now, first, true);
    scene.pass(10_000);
    // The first one waits for us; it is never its fault.
    let steps = scene.steps();
    assert!(!steps.contains(&evict(first, 2)), "{steps:?}");
}

#[test]
fn light_peer_is_never_evicted_for_a_heavy_one() {
    let mut scene = Scene::new(5000, 20);
    let (light, _) = scene.arrive(user(1), true);
    for _ in 0..1000 {
        scene.arrive(user(2), true);
        scene.clients.spoke(scene.now, scene.last);
        scene.pass(7);
        let steps = scene.steps();
        assert!(!steps.contains(&evict(light, 20)), "{steps:?}");
    }
}

#[test]
fn silent_client_is_evicted_before_a_speaking_one() {
    let mut scene = Scene::new(5000, 2);
    let (speaking, _) = scene.arrive(user(1), true);
    scene.clients.progressed(scene.now, speaking, false);
    scene.pass(100);
    let (silent, _) = scene.arrive(user(1), true);
    scene.pass(5000);
    let (third, _) = scene.arrive(user(1), true);
    assert_eq!(scene.steps(), [], "who says nothing wants nothing");
    scene.clients.spoke(scene.now, third);
    assert_eq!(
        scene.steps(),
        [evict(silent, 2), AdmissionStep::Admit(third)]
    );
}

#[test]
fn anonymous_limits_of_network_and_local_are_separate() {
    let mut scene = Scene::new(5000, 2);
    for last in 0..100 {
        scene.arrive_speaking(address(last), true);
    }
    assert_eq!(scene.arrive(user(0), true).1, AdmissionDecision::Admit);
    assert_eq!(scene.arrive(user(0), true).1, AdmissionDecision::Admit);
    assert_eq!(scene.arrive(user(0), true).1, AdmissionDecision::Wait);
}

#[test]
fn peer_with_all_known_slots_leaves_room_for_others() {
    let mut scene = Scene::new(320, 0);
    for _ in 0..17 {
        let (id, _) = scene.arrive(user(0), false);
        scene.clients.identified(id);
    }
    loop {
        let (id, has_place) = scene.arrive_speaking(address(1), false);
        if !has_place {
            break;
        }
        scene.clients.identified(id);
    }
    scene.pass(100_000);
    assert_eq!(
        scene.steps(),
        [],
        "all of them have made calls: nobody is cut off"
    );
    assert_eq!(scene.last, 321, "exactly as many as configured");
    // Somebody with a few, and somebody with none; and not for ever.
    let mut has_place = |peer| {
        let (id, has_place) = scene.arrive_speaking(peer, false);
        scene.clients.identified(id);
        has_place
    };
    assert!(has_place(user(0)));
    assert!(has_place(user(1)));
    assert_eq!((0..100).filter(|_| has_place(user(2))).count(), 15);
    // The last ones were for local users; another address waits.
    assert!(!has_place(address(2)));
    scene.clients.gone(1, user(0));
    assert_eq!(scene.steps().len(), 1);
}

#[test]
fn full_queue_refuses_the_longest_silent_client() {
    let limits = AdmissionLimits {
        max_clients: 10,
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
    let mut scene = Scene::new(10, 0);
    for _ in 0..10 {
        let (id, _) = scene.arrive(user(1), false);
        scene.clients.identified(id);
    }
    scene.clients.set_limits(AdmissionLimits {
        max_clients: 2,
        max_anonymous: 0,
        max_waiting: 10,
        eviction_grace: EVICTION_GRACE,
    });
    scene.arrive(user(1), false);
    scene.pass(10_000);
    assert_eq!(scene.steps(), []);
    for id in 1..=8 {
        scene.clients.gone(id, user(1));
    }
    assert_eq!(scene.steps(), []);
    scene.clients.gone(9, user(1));
    assert_eq!(scene.steps(), [AdmissionStep::Admit(11)]);
}
