//! Who gets a place among the clients, who waits for one and who gives his up, so that nobody can keep others
//! out (DM-601…603).
//!
//! Places are limited: those of all clients, and those of clients that nobody knows yet, of local ones and of
//! those on networks each. As long as there are enough, everybody gets one at once. When there are none:
//!
//! - Newcomers wait in a queue for each [`Peer`], and the peer that has the fewest places comes first. Whoever
//!   floods the daemon waits behind itself. Those who have said something come before those who have not: clients
//!   speak first, so who says nothing wants nothing yet.
//! - A *stranger*, that is a client that has not shown who it is, or, where it need not, has not made a call,
//!   gives way to a newcomer that speaks once it has got nowhere for a while ([`PlaceLimits::patience`]): one of
//!   the peer that has the most places, one that has said nothing before one that has, the longest quiet first. So
//!   silence keeps nobody out, of the same peer neither.
//! - A newcomer that speaks and has waited for as long takes the place of any stranger of a peer that has at least
//!   two more places than its own. So nobody who acts busy keeps others out.
//! - Otherwise clients in the midst of a handshake or of authentication are left alone, and so is everybody who
//!   is no stranger any more.
//! - When all of [`PlaceLimits::max_clients`] are taken by others than strangers, there are a few more places
//!   for peers that have few.
//!
//! [`Places`] decides this and does nothing of it: numbers of clients and the time go in, [`Step`]s come out.

mod crowd;
mod peer;

pub use peer::Peer;

use super::Reach;
use crowd::{Crowd, Rank, Stage};
use eventry::Time;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The usual [`PlaceLimits::patience`]: longer than a step of a handshake takes over a long way, and short enough for
/// a user.
pub const PLACE_PATIENCE: Duration = Duration::from_millis(500);

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// For all clients.
    pub max_clients: usize,
    /// For clients that nobody knows yet, of each [`Reach`]; 0 for any number.
    pub max_anonymous: usize,
    /// How many newcomers may wait for a place.
    pub max_waiting: usize,
    /// How long a stranger may get nowhere before it gives way, half of it if it has said nothing; and how long
    /// a newcomer waits for one of a peer that has more places, whatever that does. Usually [`PLACE_PATIENCE`].
    pub patience: Duration,
}

/// Somebody who has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Who it counts as.
    pub peer: Peer,
    /// Whether nobody knows who it is until it has shown it.
    pub anonymous: bool,
}

/// What becomes of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has a place.
    Admit,
    /// It waits; [`Places::next`] may find a place for it.
    Wait,
    /// The one with this number waits no longer: too many do, and its peer has the most of them. Of them it is the
    /// one that has said nothing for the longest time or, if all have said something, the last that has come.
    /// Close it. If it is another one than the newcomer, the newcomer waits, and [`gone`](Places::gone) is due for
    /// the other one; for a newcomer that is refused it is not.
    Refuse(u64),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The waiting one with this number has a place.
    Admit(u64),
    /// The client with this number gives way. It has no place any more; close it.
    Evict(u64),
}

/// Who has a place, and who waits for one.
///
/// ```
/// use eventry::Time;
/// use eventryd::flow::{Newcomer, PLACE_PATIENCE, Peer, PlaceLimits, Places, Step, Verdict};
///
/// let limits = PlaceLimits { max_clients: 10, max_anonymous: 1, max_waiting: 10, patience: PLACE_PATIENCE };
/// let mut places = Places::new(limits);
/// let newcomer = Newcomer { peer: Peer::User(Some(1000)), anonymous: true };
/// assert_eq!(places.arrive(Time::ZERO, 1, newcomer), Verdict::Admit);
/// assert_eq!(places.arrive(Time::ZERO, 2, newcomer), Verdict::Wait);
/// assert_eq!(places.next(Time::ZERO), None);
///
/// // The first one says nothing, and the second one does.
/// places.spoke(Time::ZERO, 2);
/// let later = places.retry_at(Time::ZERO).expect("it will give way");
/// assert_eq!(later, Time::ZERO.after(PLACE_PATIENCE / 2));
/// assert_eq!(places.next(later), Some(Step::Evict(1)));
/// assert_eq!(places.next(later), Some(Step::Admit(2)));
/// ```
#[derive(Debug)]
pub struct Places {
    limits: PlaceLimits,
    /// Everybody who has a place.
    all: Crowd,
    /// Those of them whom nobody knows, by [`Reach`].
    anonymous: [Crowd; 2],
    strangers: BTreeMap<u64, Stranger>,
    /// Who has given way or was refused, and has not gone yet.
    evicted: BTreeSet<u64>,
    lanes: [Lane; 8],
    /// The lane and the peer of each who waits.
    waiting: BTreeMap<u64, (usize, Peer)>,
    /// Whether nobody gets a place any more.
    closed: bool,
}

/// Somebody who has a place and could give way.
#[derive(Clone, Copy, Debug)]
struct Stranger {
    newcomer: Newcomer,
    rank: Rank,
}

/// The newcomers of one reach that wait for the same kind of place, and have said something or not.
#[derive(Debug, Default)]
struct Lane(BTreeMap<Peer, VecDeque<Waiting>>);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: u64,
    since: Time,
}

/// How somebody can get a place.
enum Grant {
    /// There is one.
    Free,
    /// There is one when this client has given way.
    After(u64),
    /// There is none.
    Never,
}

/// Whether the newcomers of each lane have said something, where they are, and whether they are anonymous.
const LANES: [(bool, Reach, bool); 8] = [
    (true, Reach::Local, true),
    (true, Reach::Local, false),
    (true, Reach::Network, true),
    (true, Reach::Network, false),
    (false, Reach::Local, true),
    (false, Reach::Local, false),
    (false, Reach::Network, true),
    (false, Reach::Network, false),
];

/// The lanes of those who have said something, and who has not.
fn lanes_of(newcomer: Newcomer) -> [usize; 2] {
    let lane = 2 * newcomer.peer.reach() as usize + usize::from(!newcomer.anonymous);
    [lane, lane + 4]
}

impl Places {
    /// Nobody has a place yet.
    #[must_use]
    pub fn new(limits: PlaceLimits) -> Places {
        Places {
            limits,
            all: Crowd::default(),
            anonymous: Default::default(),
            strangers: BTreeMap::new(),
            evicted: BTreeSet::new(),
            lanes: Default::default(),
            waiting: BTreeMap::new(),
            closed: false,
        }
    }

    /// Sets other limits, from now on. Whoever has a place keeps it (DM-606); [`next`](Self::next) may have
    /// something to say.
    pub fn set_limits(&mut self, limits: PlaceLimits) {
        self.limits = limits;
    }

    /// How many wait for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Somebody has connected at `now`. `id` is not that of anybody else. If it waits, ask
    /// [`next`](Self::next).
    pub fn arrive(&mut self, now: Time, id: u64, newcomer: Newcomer) -> Verdict {
        if self.closed {
            return Verdict::Refuse(id);
        }
        let lanes = lanes_of(newcomer);
        let nobody_waits = lanes.iter().all(|lane| self.lanes[*lane].0.is_empty());
        if nobody_waits && matches!(self.grant(now, newcomer, false, false), Grant::Free) {
            self.admit(Stage::Silent, now, id, newcomer);
            return Verdict::Admit;
        }
        let [_, silent] = lanes;
        self.queue(silent, now, id, newcomer.peer);
        if self.waiting.len() > self.limits.max_waiting {
            if let Some(refused) = self.refuse() {
                if refused != id {
                    self.evicted.insert(refused);
                }
                return Verdict::Refuse(refused);
            }
        }
        Verdict::Wait
    }

    /// The one who waits with this number has said something. Ask [`next`](Self::next).
    pub fn spoke(&mut self, now: Time, id: u64) {
        let Some(&(lane, peer)) = self.waiting.get(&id) else {
            return;
        };
        if let (false, ..) = LANES[lane] {
            self.unqueue(id);
            self.queue(lane - 4, now, id, peer);
        }
    }

    /// The next thing to do at `now`; ask again until there is none. Valid after anything else was called, and
    /// at the time that [`retry_at`](Self::retry_at) names.
    pub fn next(&mut self, now: Time) -> Option<Step> {
        if self.closed {
            return None;
        }
        for (lane, (speaks, _, anonymous)) in LANES.into_iter().enumerate() {
            let Some((peer, first)) = self.first_of(lane) else {
                continue;
            };
            let newcomer = Newcomer { peer, anonymous };
            let has_waited = first.since.after(self.limits.patience) <= now;
            match self.grant(now, newcomer, speaks, has_waited) {
                Grant::Free => {
                    self.unqueue(first.id);
                    if speaks {
                        self.admit(Stage::Speaking, now, first.id, newcomer);
                    } else {
                        // Its silence lasts as long as it has waited.
                        self.admit(Stage::Silent, first.since, first.id, newcomer);
                    }
                    return Some(Step::Admit(first.id));
                }
                Grant::After(id) => {
                    self.evict(id);
                    return Some(Step::Evict(id));
                }
                Grant::Never => {}
            }
        }
        None
    }

    /// When [`next`](Self::next) is to be asked again though nothing has happened, if ever.
    #[must_use]
    pub fn retry_at(&self, now: Time) -> Option<Time> {
        let patience = self.limits.patience;
        let speaking = self
            .lanes
            .iter()
            .zip(LANES)
            .filter(|(_, (speaks, ..))| *speaks);
        let times = speaking.flat_map(|(lane, (_, reach, anonymous))| {
            let crowds = [
                Some(&self.all),
                anonymous.then_some(&self.anonymous[reach as usize]),
            ];
            let quiet = crowds.into_iter().flatten();
            let quiet = quiet.filter_map(move |crowd| crowd.next_quiet(now, patience));
            let waited = lane.fronts().map(move |first| first.since.after(patience));
            // Nobody gives way to nobody.
            quiet.filter(|_| !lane.0.is_empty()).chain(waited)
        });
        times
            .filter(|at| *at > now && *at != Time::FAR_FUTURE)
            .min()
    }

    /// The client `id` has got further towards showing who it is; whether it now waits for us to decide.
    pub fn progressed(&mut self, now: Time, id: u64, waits_for_us: bool) {
        let since = if waits_for_us { Time::FAR_FUTURE } else { now };
        let Some(stranger) = self.strangers.remove(&id) else {
            return;
        };
        self.unwatch(stranger);
        let rank = Rank {
            stage: Stage::Speaking,
            since,
            id,
        };
        self.watch(Stranger { rank, ..stranger });
    }

    /// The client `id` is no stranger any more: it has shown who it is or, where it need not, made a call.
    pub fn settled(&mut self, id: u64) {
        if let Some(stranger) = self.strangers.remove(&id) {
            self.unwatch(stranger);
            let Newcomer { peer, anonymous } = stranger.newcomer;
            if anonymous {
                self.anonymous[peer.reach() as usize].leave(peer);
            }
        }
    }

    /// The client `id` has gone, or the one who waited.
    pub fn gone(&mut self, id: u64, peer: Peer) {
        if !self.evicted.remove(&id) && !self.unqueue(id) {
            self.settled(id);
            self.all.leave(peer);
        }
    }

    /// Nobody gets a place any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    fn admit(&mut self, stage: Stage, since: Time, id: u64, newcomer: Newcomer) {
        self.all.join(newcomer.peer);
        if newcomer.anonymous {
            self.anonymous[newcomer.peer.reach() as usize].join(newcomer.peer);
        }
        let rank = Rank { stage, since, id };
        self.watch(Stranger { newcomer, rank });
    }

    fn queue(&mut self, lane: usize, since: Time, id: u64, peer: Peer) {
        let queue = self.lanes[lane].0.entry(peer).or_default();
        queue.push_back(Waiting { id, since });
        self.waiting.insert(id, (lane, peer));
    }

    /// Whether it has waited.
    fn unqueue(&mut self, id: u64) -> bool {
        let Some((lane, peer)) = self.waiting.remove(&id) else {
            return false;
        };
        if let Some(queue) = self.lanes[lane].0.get_mut(&peer) {
            queue.retain(|waiting| waiting.id != id);
            if queue.is_empty() {
                self.lanes[lane].0.remove(&peer);
            }
        }
        true
    }

    fn evict(&mut self, id: u64) {
        if let Some(stranger) = self.strangers.get(&id) {
            let peer = stranger.newcomer.peer;
            self.gone(id, peer);
            self.evicted.insert(id);
        }
    }

    fn watch(&mut self, stranger: Stranger) {
        let Stranger { newcomer, rank } = stranger;
        self.strangers.insert(rank.id, stranger);
        self.all.watch(newcomer.peer, rank);
        if newcomer.anonymous {
            self.anonymous[newcomer.peer.reach() as usize].watch(newcomer.peer, rank);
        }
    }

    fn unwatch(&mut self, stranger: Stranger) {
        let Stranger { newcomer, rank } = stranger;
        self.all.unwatch(newcomer.peer, rank);
        if newcomer.anonymous {
            self.anonymous[newcomer.peer.reach() as usize].unwatch(newcomer.peer, rank);
        }
    }

    /// Who of a lane is next: of the peer with the fewest places of that kind, the first that came.
    fn first_of(&self, lane: usize) -> Option<(Peer, Waiting)> {
        let (_, reach, anonymous) = LANES[lane];
        let crowd = if anonymous {
            &self.anonymous[reach as usize]
        } else {
            &self.all
        };
        let fronts = self.lanes[lane].0.iter();
        fronts
            .filter_map(|(peer, queue)| Some((*peer, *queue.front()?)))
            .min_by_key(|(peer, first)| (crowd.count(*peer), first.since, first.id))
    }

    /// How a newcomer can get a place; one that says nothing only one that is left over.
    fn grant(&self, now: Time, newcomer: Newcomer, speaks: bool, has_waited: bool) -> Grant {
        let Newcomer { peer, anonymous } = newcomer;
        let after = |crowd: &Crowd| {
            if !speaks {
                return Grant::Never;
            }
            let victim = crowd.victim(now, self.limits.patience, peer, has_waited);
            victim.map_or(Grant::Never, Grant::After)
        };
        let unknown = &self.anonymous[peer.reach() as usize];
        let max_anonymous = self.limits.max_anonymous;
        if anonymous && max_anonymous != 0 && unknown.total() >= max_anonymous {
            return after(unknown);
        }
        if self.all.total() < self.limits.max_clients {
            return Grant::Free;
        }
        match after(&self.all) {
            Grant::Never if speaks && self.may_exceed(peer) => Grant::Free,
            other => other,
        }
    }

    /// Whether one of the places beyond all places is for this peer: the more of them are free, the more it may
    /// have already; but never nearly as many as another one. There are more of them for local peers, so that
    /// networks cannot use them up.
    fn may_exceed(&self, peer: Peer) -> bool {
        let for_networks = (self.limits.max_clients / 32).max(1);
        let beyond = match peer.reach() {
            Reach::Local => 2 * for_networks,
            Reach::Network => for_networks,
        };
        let end = self.limits.max_clients.saturating_add(beyond);
        let free = end.saturating_sub(self.all.total());
        let own = self.all.count(peer);
        free > 0 && (own == 0 || (own < 4 * free && 2 * (own + 1) <= self.all.most()))
    }

    /// Takes out one newcomer of the peer that has the most who wait.
    fn refuse(&mut self) -> Option<u64> {
        let mut counts: BTreeMap<Peer, usize> = BTreeMap::new();
        for (peer, queue) in self.lanes.iter().flat_map(|lane| &lane.0) {
            *counts.entry(*peer).or_default() += queue.len();
        }
        let (peer, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let of_peer = |speaks| {
            let lanes = self.lanes.iter().zip(LANES);
            let lanes = lanes.filter(move |(_, (speaks_here, ..))| *speaks_here == speaks);
            lanes.filter_map(move |(lane, _)| lane.0.get(&peer))
        };
        let order = |waiting: &&Waiting| (waiting.since, waiting.id);
        let longest_silent = of_peer(false).filter_map(VecDeque::front).min_by_key(order);
        let last_speaking = || of_peer(true).filter_map(VecDeque::back).max_by_key(order);
        let refused = longest_silent.or_else(last_speaking)?.id;
        self.unqueue(refused);
        Some(refused)
    }
}

impl Lane {
    fn fronts(&self) -> impl Iterator<Item = &Waiting> {
        self.0.values().filter_map(VecDeque::front)
    }
}
