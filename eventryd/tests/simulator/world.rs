//! One world: the decisions of a daemon, its clients, and a scheduler that chooses the next step at random.

use crate::client::{Behaviour, Client};
use crate::driver::{ExecutedCalls, Hypervisor};
use crate::ledger::Ledger;
use crate::message::{PASSWORD, SessionModel, USER};
use crate::pipe::{ClientCell, Pipe, Shared};
use crate::plan::{Config, Service};
use crate::situations::Situations;
use crate::workers::{PoolModel, ThreadSupply};
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
    /// The clients in the queue of each listening socket.
    pub(crate) backlog: [VecDeque<usize>; 4],
    /// The end of the pause of each service that is out of descriptors.
    pub(crate) suspended_until: [Option<MonotonicTime>; 4],
    pub(crate) admission: Admission,
    /// The accepted clients that wait for a slot, with the indexes of service and client.
    pub(crate) waiting: BTreeMap<u64, (usize, usize)>,
    /// The accepted clients that wait and have sent something, in the order of their first bytes.
    pub(crate) speaking: Vec<u64>,
    /// The time at which waiting clients are admitted to free slots.
    pub(crate) admit_at: Option<MonotonicTime>,
    pub(crate) deadlines: DeadlineQueue,
    /// The time of the loop's timeout for the deadlines of clients.
    pub(crate) timer: Option<MonotonicTime>,
    pub(crate) clients: Vec<ClientCell>,
    /// The number of clients that will connect.
    unconnected: usize,
    pub(crate) served: BTreeMap<u64, ServedClient>,
    pub(crate) last_client: u64,
    /// The polkit authentications that are not decided: client, ticket and serial.
    pub(crate) polkit_requests: Vec<(u64, Ticket, u32)>,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) executed: ExecutedCalls,
    pub(crate) shared: Rc<RefCell<Shared>>,
    pub(crate) grace: Duration,
    pub(crate) grace_until: Option<MonotonicTime>,
    pub(crate) is_stopped: bool,
    /// One step in this many advances the clock.
    steps_per_advance: usize,
    /// The probability of a step of the workers, in tenths.
    worker_rate: usize,
    has_faults: bool,
    pub(crate) trace: Option<Vec<String>>,
}

/// A client that has a connection.
pub(crate) struct ServedClient {
    pub(crate) client_index: usize,
    pub(crate) client: ClientCell,
    pub(crate) connection: Connection<Pipe>,
    pub(crate) calls: CallHandler,
    pub(crate) interest: Events,
    pub(crate) scheduled: Option<MonotonicTime>,
    /// The limit that the client has exceeded.
    pub(crate) expired: Option<Expiry>,
    pub(crate) is_anonymous: bool,
    /// The client has not authenticated nor, where that is not required, made a call.
    pub(crate) is_unidentified: bool,
    pub(crate) peer: Peer,
}

/// Records a step, if the steps are printed.
macro_rules! trace {
    ($world:expr, $($text:tt)+) => {
        if let Some(trace) = &mut $world.trace {
            trace.push(format!("{:>16} {}", $world.now.as_nanos(), format_args!($($text)+)));
        }
    };
}
pub(crate) use trace;

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
        let mut supply = ThreadSupply::UNLIMITED;
        match rng.below(8) {
            0 if has_faults => supply.failure_rate = Some(1 + rng.below(4)),
            1 | 2 if has_faults => supply.max = rng.below(4),
            _ => {}
        }
        World {
            now: MonotonicTime::ZERO.saturating_add(Duration::from_secs(1)),
            admission,
            waiting: BTreeMap::new(),
            speaking: Vec::new(),
            admit_at: None,
            services,
            backlog: Default::default(),
            suspended_until: [None; 4],
            deadlines: DeadlineQueue::default(),
            timer: None,
            clients: Vec::new(),
            unconnected: rng.below(13),
            served: BTreeMap::new(),
            last_client: 0,
            polkit_requests: Vec::new(),
            executed: hypervisor.executed(),
            driver: Arc::new(hypervisor),
            shared: Rc::new(RefCell::new(Shared {
                pool: PoolModel::new(config.workers, supply),
                sasl: Arc::new(passwords()),
                read_size: [1 + rng.below(64), 16_384][rng.below(2)],
                counts: Situations::default(),
                transfers_all: false,
                rng: rng.fork(),
            })),
            config,
            grace: Duration::from_secs(rng.below(6) as u64),
            grace_until: None,
            is_stopped: false,
            steps_per_advance: [6, 30, 100, 300][rng.below(4)],
            worker_rate: 1 + rng.below(10),
            has_faults,
            trace: has_trace.then(Vec::new),
            rng,
        }
    }

    /// Runs the world to its end; returns the counts of situations.
    pub(crate) fn run(&mut self) -> Situations {
        trace!(self, "{:?}", self.config);
        trace!(self, "{:?}", self.services);
        let steps = 300 + self.rng.below(1_500);
        for _ in 0..steps {
            if self.is_stopped {
                break;
            }
            self.step();
            self.check();
            self.shared.borrow_mut().counts.steps += 1;
        }
        self.finish();
        let shared = &mut *self.shared.borrow_mut();
        let many_jobs = shared.pool.max_running > 4;
        shared.counts.many_jobs += usize::from(many_jobs);
        shared.counts.clone()
    }

    fn step(&mut self) {
        if self.rng.one_in(self.steps_per_advance) {
            return self.advance_clock();
        }
        if self.admission.is_draining() && self.rng.one_in(60) {
            return self.drain();
        }
        match self.rng.below(40) {
            0..=1 => self.connect(),
            2..=13 => self.step_client(),
            14..=17 => self.accept_one(),
            18..=23 if self.rng.below(10) < self.worker_rate => {
                self.step_worker();
            }
            24..=26 => drop(self.complete()),
            27 => self.answer_polkit(),
            28..=29 => drop(self.fire()),
            30 => drop(self.admit_in_time()),
            31 if self.has_faults && self.rng.one_in(3) => self.inject_fault(),
            _ => self.serve_one(),
        }
    }

    /// Runs the next step of one worker; returns `false` if all of them sleep.
    pub(crate) fn step_worker(&mut self) -> bool {
        let shared = &mut *self.shared.borrow_mut();
        shared.pool.step(&mut shared.rng, self.now)
    }

    /// Connects a new client to a random service.
    fn connect(&mut self) {
        if self.unconnected == 0 {
            return;
        }
        self.unconnected -= 1;
        let service_index = self.rng.below(4);
        let service = self.services[service_index];
        let client_index = self.clients.len();
        let id = client_index as u64 + 1;
        let behaviour = Behaviour::draw(&mut self.rng);
        trace!(
            self,
            "client {id} connects to service {service_index}: {behaviour:?}"
        );
        let scheme = match service.auth {
            Auth::None => 0,
            Auth::Sasl => 1,
            Auth::Polkit => 2,
        };
        let read_only = service.access == Access::ReadOnly;
        let mut session = SessionModel::new(scheme, read_only);
        let peer = service.draw_peer(&mut self.rng);
        session.is_root = peer == Peer::User(Some(0));
        session.hostname = self.driver_hostname();
        let cap = self.config.limits.max_frame_before_auth as usize;
        let ledger = Ledger::new(id, cap, session);
        let capacity = 28 + self.rng.below(2_000);
        let mut client = Client::new((id, peer), behaviour, self.rng.fork(), capacity, ledger);
        if service.has_handshake {
            client.begin_handshake(1 + self.rng.below(60));
        }
        self.clients.push(Rc::new(RefCell::new(client)));
        self.backlog[service_index].push_back(client_index);
    }

    fn driver_hostname(&self) -> Vec<u8> {
        let connection = self
            .driver
            .open("test:///default")
            .expect("the hypervisor exists");
        connection.hostname().into_bytes()
    }

    fn step_client(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let mut client_index = self.rng.below(self.clients.len());
        if self.clients[client_index].borrow().is_disconnected {
            // A second draw makes a connected client more likely.
            client_index = self.rng.below(self.clients.len());
        }
        let mut client = self.clients[client_index].borrow_mut();
        let before = client.to_server.len();
        for _ in 0..1 + self.rng.below(6) {
            client.act();
        }
        let sent = client.to_server.len() - before;
        drop(client);
        trace!(self, "client {} sends {sent} bytes", client_index + 1);
    }

    /// Decides a random polkit authentication.
    fn answer_polkit(&mut self) {
        if !self.polkit_requests.is_empty() {
            let index = self.rng.below(self.polkit_requests.len());
            let request = self.polkit_requests.swap_remove(index);
            self.complete_polkit(request);
        }
    }
}

fn passwords() -> Sasl {
    let verifier = Verifier::derive(PASSWORD, b"salt of a client", NonZeroU32::MIN);
    let mut passwords = Passwords::new([7; 32]);
    passwords.insert(USER, verifier).expect("a name");
    Sasl::new(passwords, None)
}
