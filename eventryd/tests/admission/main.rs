//! Who gets a place: against a naive model of the rules, and what they promise.

#![cfg(not(loom))]

mod oracle;

use eventry::Time;
use eventryd::flow::{Newcomer, PLACE_PATIENCE, Peer, PlaceLimits, Places, Step, Verdict};
use oracle::Naive;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::Duration;

fn user(uid: u32) -> Peer {
    Peer::User(Some(uid))
}

fn address(last: u8) -> Peer {
    Peer::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// What happens. Clients are chosen among those who are there by a number.
#[derive(Clone, Debug)]
enum Happening {
    Arrive(Newcomer),
    Speak(usize),
    Vanish(usize),
    Progress(usize, bool),
    Settle(usize),
    Go(usize),
    Pass(Duration),
    Change(PlaceLimits),
}

fn limits() -> impl Strategy<Value = PlaceLimits> {
    (1..8_usize, 0..4_usize).prop_map(|(max_clients, max_anonymous)| PlaceLimits {
        max_clients,
        max_anonymous,
        max_waiting: 12,
        patience: PLACE_PATIENCE,
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let peer = prop_oneof![(0..3_u32).prop_map(user), (0..3_u8).prop_map(address)];
    let newcomer = (peer, any::<bool>());
    let newcomer = newcomer.prop_map(|(peer, anonymous)| Newcomer { peer, anonymous });
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
        let mut places = Places::new(limits);
        let mut naive = Naive { limits, clients: Vec::new(), waiting: Vec::new() };
        let mut now = Time::ZERO;
        for (id, happening) in (1..).zip(happenings) {
            let chosen_of = |count: usize, who: usize| (count > 0).then(|| who % count.max(1));
            let chosen = |who: usize| chosen_of(naive.clients.len(), who);
            let chosen_waiting = |who: usize| chosen_of(naive.waiting.len(), who);
            match happening {
                Happening::Arrive(newcomer) => {
                    let admitted = naive.arrive(now, id, newcomer);
                    match places.arrive(now, id, newcomer) {
                        Verdict::Admit => prop_assert!(admitted),
                        Verdict::Wait => prop_assert!(!admitted),
                        Verdict::Refuse(refused) => {
                            prop_assert!(!admitted);
                            let one = *naive.waiting.iter().find(|w| w.id == refused).unwrap();
                            let count = |peer| naive.waiting.iter().filter(|w| w.newcomer.peer == peer).count();
                            let most = naive.waiting.iter().map(|w| count(w.newcomer.peer)).max();
                            prop_assert_eq!(Some(count(one.newcomer.peer)), most);
                            if refused != id {
                                places.gone(refused, one.newcomer.peer);
                            }
                            naive.waiting.retain(|w| w.id != refused);
                        }
                    }
                }
                Happening::Speak(who) => if let Some(at) = chosen_waiting(who) {
                    let one = naive.waiting[at];
                    places.spoke(now, one.id);
                    if !one.speaks {
                        naive.waiting.remove(at);
                        naive.waiting.push(oracle::Waiting { speaks: true, since: now, ..one });
                    }
                },
                Happening::Vanish(who) => if let Some(at) = chosen_waiting(who) {
                    let one = naive.waiting.remove(at);
                    places.gone(one.id, one.newcomer.peer);
                },
                Happening::Progress(who, waits) => if let Some(at) = chosen(who) {
                    let client = &mut naive.clients[at];
                    places.progressed(now, client.id, waits);
                    client.has_spoken = true;
                    client.since = (!waits).then_some(now);
                },
                Happening::Settle(who) => if let Some(at) = chosen(who) {
                    places.settled(naive.clients[at].id);
                    naive.clients[at].is_stranger = false;
                },
                Happening::Go(who) => if let Some(at) = chosen(who) {
                    let client = naive.clients.remove(at);
                    places.gone(client.id, client.newcomer.peer);
                },
                Happening::Pass(time) => now = now.after(time),
                Happening::Change(limits) => {
                    naive.limits = limits;
                    places.set_limits(limits);
                }
            }
            loop {
                let (step, expected) = (places.next(now), naive.next(now));
                prop_assert_eq!(step, expected);
                match step {
                    // Its connection is closed a moment later.
                    Some(Step::Evict(id)) => places.gone(id, user(0)),
                    Some(Step::Admit(_)) => {}
                    None => break,
                }
            }
            prop_assert_eq!(places.waiting(), naive.waiting.len());
            // Nothing changes by itself before the time it names.
            if let Some(at) = places.retry_at(now) {
                prop_assert!(at > now);
                let before = Time::from_nanos(at.as_nanos() - 1);
                prop_assert_eq!(places.next(before), None);
            } else {
                let never = Time::from_nanos(u64::MAX - 1);
                prop_assert_eq!(places.next(never), None);
            }
        }
    }
}

/// A daemon with these limits, and what happens to it.
struct Scene {
    places: Places,
    now: Time,
    last: u64,
}

impl Scene {
    fn new(max_clients: usize, max_anonymous: usize) -> Scene {
        let limits = PlaceLimits {
            max_clients,
            max_anonymous,
            max_waiting: 1000,
            patience: PLACE_PATIENCE,
        };
        Scene {
            places: Places::new(limits),
            now: Time::ZERO,
            last: 0,
        }
    }

    fn arrive(&mut self, peer: Peer, anonymous: bool) -> (u64, Verdict) {
        self.last += 1;
        let newcomer = Newcomer { peer, anonymous };
        let arrival = self.places.arrive(self.now, self.last, newcomer);
        (self.last, arrival)
    }

    /// The same of one who says something at once; whether it has a place.
    fn arrive_speaking(&mut self, peer: Peer, anonymous: bool) -> (u64, bool) {
        let (id, verdict) = self.arrive(peer, anonymous);
        self.places.spoke(self.now, id);
        let steps = self.steps();
        (
            id,
            verdict == Verdict::Admit || steps.contains(&Step::Admit(id)),
        )
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }

    fn steps(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.places.next(self.now)).collect()
    }

    /// Whether the newcomer `id` is given a place before long, and what the others had to do for it.
    fn is_admitted_soon(&mut self, id: u64) -> bool {
        for _ in 0..100 {
            if self.steps().contains(&Step::Admit(id)) {
                return true;
            }
            match self.places.retry_at(self.now) {
                Some(at) if at.since(Time::ZERO) < Duration::from_secs(5) => self.now = at,
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
    assert!(scene.now.since(Time::ZERO) <= PLACE_PATIENCE / 2);
    // And later at once, one after the other.
    scene.pass(PLACE_PATIENCE.as_millis() as u64);
    for _ in 0..500 {
        let (id, has_place) = scene.arrive_speaking(user(0), true);
        assert!(has_place);
        scene.places.settled(id);
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
                scene.places.progressed(scene.now, id, true);
            }
        }
        scene.pass(10);
        assert_eq!(scene.steps(), []);
        let (id, has_place) = scene.arrive_speaking(other, true);
        assert!(!has_place, "nobody is cut off in the midst");
        let begun = scene.now;
        assert!(scene.is_admitted_soon(id));
        assert!(scene.now.since(begun) <= PLACE_PATIENCE);
    }
}

#[test]
fn progressing_client_is_not_evicted_by_its_own_peer() {
    let mut scene = Scene::new(5000, 2);
    let (first, _) = scene.arrive(user(1), true);
    let (second, _) = scene.arrive(user(1), true);
    scene.places.progressed(scene.now, second, false);
    scene.pass(400);
    scene.places.progressed(scene.now, first, false);
    for _ in 0..10 {
        scene.arrive_speaking(user(1), true);
    }
    scene.pass(200);
    assert_eq!(scene.steps(), [Step::Evict(second), Step::Admit(3)]);
    scene.pass(200);
    assert_eq!(scene.steps(), [], "both have done something in time");
    scene.places.progressed(scene.now, first, true);
    scene.pass(10_000);
    // The first one waits for us; it is never its fault.
    let steps = scene.steps();
    assert!(!steps.contains(&Step::Evict(first)), "{steps:?}");
}

#[test]
fn light_peer_is_never_evicted_for_a_heavy_one() {
    let mut scene = Scene::new(5000, 20);
    let (light, _) = scene.arrive(user(1), true);
    for _ in 0..1000 {
        scene.arrive(user(2), true);
        scene.places.spoke(scene.now, scene.last);
        scene.pass(7);
        let steps = scene.steps();
        assert!(!steps.contains(&Step::Evict(light)), "{steps:?}");
    }
}

#[test]
fn silent_client_is_evicted_before_a_speaking_one() {
    let mut scene = Scene::new(5000, 2);
    let (speaking, _) = scene.arrive(user(1), true);
    scene.places.progressed(scene.now, speaking, false);
    scene.pass(100);
    let (silent, _) = scene.arrive(user(1), true);
    scene.pass(5000);
    let (third, _) = scene.arrive(user(1), true);
    assert_eq!(scene.steps(), [], "who says nothing wants nothing");
    scene.places.spoke(scene.now, third);
    assert_eq!(scene.steps(), [Step::Evict(silent), Step::Admit(third)]);
}

#[test]
fn anonymous_limits_of_network_and_local_are_separate() {
    let mut scene = Scene::new(5000, 2);
    for last in 0..100 {
        scene.arrive_speaking(address(last), true);
    }
    assert_eq!(scene.arrive(user(0), true).1, Verdict::Admit);
    assert_eq!(scene.arrive(user(0), true).1, Verdict::Admit);
    assert_eq!(scene.arrive(user(0), true).1, Verdict::Wait);
}

#[test]
fn peer_with_all_known_slots_leaves_room_for_others() {
    let mut scene = Scene::new(320, 0);
    for _ in 0..17 {
        let (id, _) = scene.arrive(user(0), false);
        scene.places.settled(id);
    }
    loop {
        let (id, has_place) = scene.arrive_speaking(address(1), false);
        if !has_place {
            break;
        }
        scene.places.settled(id);
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
        scene.places.settled(id);
        has_place
    };
    assert!(has_place(user(0)));
    assert!(has_place(user(1)));
    assert_eq!((0..100).filter(|_| has_place(user(2))).count(), 15);
    // The last ones were for local users; another address waits.
    assert!(!has_place(address(2)));
    scene.places.gone(1, user(0));
    assert_eq!(scene.steps().len(), 1);
}

#[test]
fn full_queue_refuses_the_longest_silent_client() {
    let limits = PlaceLimits {
        max_clients: 10,
        max_anonymous: 1,
        max_waiting: 3,
        patience: PLACE_PATIENCE,
    };
    let mut places = Places::new(limits);
    let arrive = |places: &mut Places, id, uid| {
        let peer = user(uid);
        let anonymous = true;
        places.arrive(Time::ZERO, id, Newcomer { peer, anonymous })
    };
    assert_eq!(arrive(&mut places, 1, 0), Verdict::Admit);
    for id in [2, 3, 4] {
        assert_eq!(arrive(&mut places, id, 0), Verdict::Wait);
    }
    places.spoke(Time::ZERO, 2);
    assert_eq!(arrive(&mut places, 5, 0), Verdict::Refuse(3));
    places.gone(3, user(0));
    assert_eq!(
        arrive(&mut places, 6, 1),
        Verdict::Refuse(4),
        "the other peer waits"
    );
    places.gone(4, user(0));
    for id in [5, 6] {
        places.spoke(Time::ZERO, id);
    }
    assert_eq!(
        arrive(&mut places, 7, 0),
        Verdict::Refuse(7),
        "all others speak"
    );
    assert_eq!(places.waiting(), 3);
}

#[test]
fn lower_limits_keep_identified_clients() {
    let mut scene = Scene::new(10, 0);
    for _ in 0..10 {
        let (id, _) = scene.arrive(user(1), false);
        scene.places.settled(id);
    }
    scene.places.set_limits(PlaceLimits {
        max_clients: 2,
        max_anonymous: 0,
        max_waiting: 10,
        patience: PLACE_PATIENCE,
    });
    scene.arrive(user(1), false);
    scene.pass(10_000);
    assert_eq!(scene.steps(), []);
    for id in 1..=8 {
        scene.places.gone(id, user(1));
    }
    assert_eq!(scene.steps(), []);
    scene.places.gone(9, user(1));
    assert_eq!(scene.steps(), [Step::Admit(11)]);
}
