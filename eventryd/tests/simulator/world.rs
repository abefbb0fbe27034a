//! One world: a daemon's decisions, its clients, and a scheduler that picks what happens next.

use crate::client::{Client, Temper};
use crate::driver::{Done, Hypervisor};
use crate::ledger::Ledger;
use crate::message::{PASSWORD, Standing, USER};
use crate::pipe::{ClientCell, Pipe, Shared};
use crate::plan::{Config, Service};
use crate::situations::Situations;
use crate::workers::{Staff, Supply};
use eventry::{Events, MonotonicTime};
use eventryd::admission::{Admission, Peer};
use eventryd::auth::{Passwords, Sasl, Verifier};
use eventryd::connection::Connection;
use eventryd::driver::Driver;
use eventryd::server::{CallHandler, DeadlineQueue};
use eventryd::session::{Access, Auth, Expiry, Ticket};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use test_support::rng::Rng;

pub(crate) struct World {
    pub(crate) now: MonotonicTime,
    pub(crate) rng: Rng,
    pub(crate) config: Config,
    pub(crate) services: [Service; 4],
    /// Who waits to be accepted on each.
    pub(crate) backlog: [VecDeque<usize>; 4],
    /// Until when a service rests that is out of descriptors.
    pub(crate) resting: [Option<MonotonicTime>; 4],
    pub(crate) admission: Admission,
    /// Who is accepted and waits for a place, by service and client.
    pub(crate) waiting: BTreeMap<u64, (usize, usize)>,
    /// When free slots are to be given to waiting clients.
    pub(crate) admit_at: Option<MonotonicTime>,
    pub(crate) deadlines: DeadlineQueue,
    /// When the loop's one timer for clients fires.
    pub(crate) timer: Option<MonotonicTime>,
    pub(crate) clients: Vec<ClientCell>,
    /// Those that will connect.
    to_come: usize,
    pub(crate) live: BTreeMap<u64, Live>,
    pub(crate) last_client: u64,
    /// What polkit was asked.
    pub(crate) questions: Vec<(u64, Ticket, u32)>,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) done: Done,
    pub(crate) shared: Rc<RefCell<Shared>>,
    pub(crate) grace: Duration,
    pub(crate) grace_until: Option<MonotonicTime>,
    pub(crate) is_stopped: bool,
    /// One step of so many lets time pass.
    haste: usize,
    /// How often workers get on, in tenths.
    diligence: usize,
    has_faults: bool,
    pub(crate) trace: Option<Vec<String>>,
}

/// A client that is served.
pub(crate) struct Live {
    pub(crate) who: usize,
    pub(crate) client: ClientCell,
    pub(crate) connection: Connection<Pipe>,
    pub(crate) calls: CallHandler,
    pub(crate) interest: Events,
    pub(crate) scheduled: Option<MonotonicTime>,
    /// The limit that the client has exceeded.
    pub(crate) expired: Option<Expiry>,
    pub(crate) is_anonymous: bool,
    /// It has not authenticated nor, where it need not, made a call.
    pub(crate) is_unidentified: bool,
    pub(crate) peer: Peer,
}

/// Notes a step, if somebody wants to read it.
macro_rules! note {
    ($world:expr, $($text:tt)+) => {
        if let Some(trace) = &mut $world.trace {
            trace.push(format!("{:>16} {}", $world.now.as_nanos(), format_args!($($text)+)));
        }
    };
}
pub(crate) use note;

impl World {
    pub(crate) fn new(seed: u64, has_trace: bool) -> World {
        let mut rng = Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6576_656e_7472_7964);
        let config = Config::draw(&mut rng);
        let services = Service::draw(&mut rng);
        let mut admission = Admission::new(config.admission);
        for _ in &services {
            admission.add_service();
        }
        let hostname = "h".repeat(1 + rng.below(700));
        let hypervisor = Hypervisor::new(!rng.one_in(3), &hostname);
        let has_faults = !rng.one_in(4);
        let mut supply = Supply::PLENTY;
        match rng.below(8) {
            0 if has_faults => supply.fails = Some(1 + rng.below(4)),
            1 | 2 if has_faults => supply.most = rng.below(4),
            _ => {}
        }
        World {
            now: MonotonicTime::ZERO.saturating_add(Duration::from_secs(1)),
            admission,
            waiting: BTreeMap::new(),
            admit_at: None,
            services,
            backlog: Default::default(),
            resting: [None; 4],
            deadlines: DeadlineQueue::default(),
            timer: None,
            clients: Vec::new(),
            to_come: rng.below(13),
            live: BTreeMap::new(),
            last_client: 0,
            questions: Vec::new(),
            done: hypervisor.done(),
            driver: Arc::new(hypervisor),
            shared: Rc::new(RefCell::new(Shared {
                staff: Staff::new(config.workers, supply),
                sasl: Arc::new(passwords()),
                read_size: [1 + rng.below(64), 16_384][rng.below(2)],
                met: Situations::default(),
                is_fair: false,
                rng: rng.fork(),
            })),
            config,
            grace: Duration::from_secs(rng.below(6) as u64),
            grace_until: None,
            is_stopped: false,
            haste: [6, 30, 100, 300][rng.below(4)],
            diligence: 1 + rng.below(10),
            has_faults,
            trace: has_trace.then(Vec::new),
            rng,
        }
    }

    /// Lives, and ends; what was met on the way.
    pub(crate) fn run(&mut self) -> Situations {
        note!(self, "{:?}", self.config);
        note!(self, "{:?}", self.services);
        let steps = 300 + self.rng.below(1_500);
        for _ in 0..steps {
            if self.is_stopped {
                break;
            }
            self.step();
            self.check();
            self.shared.borrow_mut().met.steps += 1;
        }
        self.wind_up();
        let shared = &mut *self.shared.borrow_mut();
        let crowded = shared.staff.most_running > 4;
        shared.met.crowded += usize::from(crowded);
        shared.met.clone()
    }

    fn step(&mut self) {
        if self.rng.one_in(self.haste) {
            return self.let_time_pass();
        }
        if self.admission.is_draining() && self.rng.one_in(60) {
            return self.drain();
        }
        match self.rng.below(40) {
            0..=1 => self.connect(),
            2..=13 => self.have_a_client_act(),
            14..=17 => self.accept_one(),
            18..=23 if self.rng.below(10) < self.diligence => {
                self.step_worker();
            }
            24..=26 => drop(self.complete()),
            27 => self.answer_a_question(),
            28..=29 => drop(self.fire()),
            30 => drop(self.admit_in_time()),
            31 if self.has_faults && self.rng.one_in(3) => self.disturb(),
            _ => self.serve_one(),
        }
    }

    /// Lets one worker do its next step; returns `false` if no worker has anything to do.
    pub(crate) fn step_worker(&mut self) -> bool {
        let shared = &mut *self.shared.borrow_mut();
        shared.staff.step(&mut shared.rng, self.now)
    }

    /// A client comes to a service.
    fn connect(&mut self) {
        if self.to_come == 0 {
            return;
        }
        self.to_come -= 1;
        let which = self.rng.below(4);
        let service = self.services[which];
        let who = self.clients.len();
        let id = who as u64 + 1;
        let temper = Temper::draw(&mut self.rng);
        note!(self, "client {id} connects to service {which}: {temper:?}");
        let scheme = match service.auth {
            Auth::None => 0,
            Auth::Sasl => 1,
            Auth::Polkit => 2,
        };
        let read_only = service.access == Access::ReadOnly;
        let mut standing = Standing::new(scheme, read_only);
        let peer = service.draw_peer(&mut self.rng);
        standing.is_root = peer == Peer::User(Some(0));
        standing.hostname = self.driver_hostname();
        let cap = self.config.limits.max_frame_before_auth as usize;
        let ledger = Ledger::new(id, cap, standing);
        let room = 28 + self.rng.below(2_000);
        let mut client = Client::new((id, peer), temper, self.rng.fork(), room, ledger);
        if service.shakes_hands {
            client.shake_hands(1 + self.rng.below(60));
        }
        self.clients.push(Rc::new(RefCell::new(client)));
        self.backlog[which].push_back(who);
    }

    fn driver_hostname(&self) -> Vec<u8> {
        let connection = self.driver.open("test:///default").expect("it is there");
        connection.hostname().into_bytes()
    }

    fn have_a_client_act(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let mut who = self.rng.below(self.clients.len());
        if self.clients[who].borrow().vanished {
            // Somebody else, who is more likely to be there.
            who = self.rng.below(self.clients.len());
        }
        let mut client = self.clients[who].borrow_mut();
        let before = client.to_server.len();
        for _ in 0..1 + self.rng.below(6) {
            client.act();
        }
        let sent = client.to_server.len() - before;
        drop(client);
        note!(
            self,
            "client {} acts, {sent} bytes are on their way",
            who + 1
        );
    }

    /// The user makes up their mind.
    fn answer_a_question(&mut self) {
        if !self.questions.is_empty() {
            let which = self.rng.below(self.questions.len());
            let question = self.questions.swap_remove(which);
            self.decide(question);
        }
    }
}

fn passwords() -> Sasl {
    let verifier = Verifier::derive(PASSWORD, b"salt of a client", NonZeroU32::MIN);
    let mut passwords = Passwords::new([7; 32]);
    passwords.insert(USER, verifier).expect("a name");
    Sasl::new(passwords, None)
}
