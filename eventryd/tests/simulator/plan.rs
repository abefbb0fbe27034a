//! The random choices at the start of a world: its configuration and its clients.

use crate::client::{Behaviour, Departure, Login};
use eventryd::admission::{AdmissionLimits, Peer, Scope};
use eventryd::session::{Access, Auth, ClientLimits, Keepalive};
use eventryd::worker_pool::WorkerLimits;
use std::net::Ipv4Addr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use test_support::rng::Rng;

/// The settings that may change while the daemon runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) admission: AdmissionLimits,
    pub(crate) limits: ClientLimits,
    pub(crate) keepalive: Keepalive,
    pub(crate) workers: WorkerLimits,
}

/// A service: its network scope, its access, and its authentication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) scope: Scope,
    pub(crate) access: Access,
    pub(crate) auth: Auth,
    pub(crate) has_handshake: bool,
}

impl Config {
    pub(crate) fn draw(rng: &mut Rng) -> Config {
        let size = |count| NonZeroUsize::new(count).expect("not zero");
        let max_output = 1 + rng.below(600);
        let max_tx_bytes = max_output + if rng.one_in(3) { rng.below(200) } else { 4_000 };
        let auth_timeout = [0, 2, 20, 60][rng.below(4)];
        let handshake_timeout = [0, 1, 2, 10][rng.below(4)];
        let failures = u32::try_from(1 + rng.below(4)).expect("a small number");
        let interval = [0, 1, 1, 3, 5][rng.below(5)];
        let cap = u32::try_from(800 + rng.below(400)).expect("a small number");
        Config {
            admission: AdmissionLimits {
                max_clients: 1 + rng.below(16),
                serves_networks: true,
                max_anonymous: rng.below(5),
                max_waiting: rng.below(9),
                eviction_grace: Duration::from_millis(500),
            },
            limits: ClientLimits {
                max_client_requests: size(1 + rng.below(5)),
                max_frame_before_auth: cap,
                auth_timeout: Duration::from_secs(auth_timeout),
                handshake_timeout: Duration::from_secs(handshake_timeout),
                max_auth_failures: NonZeroU32::new(failures).expect("not zero"),
                max_output: size(max_output),
                max_tx_bytes: size(max_tx_bytes),
                max_linger: Duration::from_secs(1 + rng.below(5) as u64),
                ..ClientLimits::default()
            },
            keepalive: Keepalive {
                interval: (interval > 0).then(|| Duration::from_secs(interval)),
                count: u32::try_from(rng.below(4)).expect("a small number"),
            },
            workers: WorkerLimits {
                min: rng.below(4) * rng.below(2),
                max: size(1 + rng.below(10)),
                priority: rng.below(3),
            },
        }
    }
}

impl Service {
    /// Draws the four services of a daemon, each with a random authentication type.
    pub(crate) fn draw(rng: &mut Rng) -> [Service; 4] {
        let mut unix = |access| Service {
            scope: Scope::Local,
            access,
            auth: [Auth::None, Auth::None, Auth::Sasl, Auth::Polkit][rng.below(4)],
            has_handshake: false,
        };
        let services = [unix(Access::ReadWrite), unix(Access::ReadOnly)];
        let network = |auth, has_handshake| Service {
            scope: Scope::Network,
            access: Access::ReadWrite,
            auth,
            has_handshake,
        };
        let tls = network([Auth::None, Auth::Sasl][rng.below(2)], true);
        let [rw, ro] = services;
        [rw, ro, network(Auth::None, false), tls]
    }
}

impl Service {
    /// Returns `true` if new clients are anonymous.
    pub(crate) fn starts_anonymous(&self) -> bool {
        self.auth != Auth::None || self.has_handshake
    }

    /// Draws the peer of a client.
    pub(crate) fn draw_peer(&self, rng: &mut Rng) -> Peer {
        let which = u8::try_from(rng.below(3)).expect("a small number");
        match self.scope {
            Scope::Local => Peer::User(Some(which.into())),
            Scope::Network => Peer::V4(Ipv4Addr::new(192, 0, 2, which)),
        }
    }
}

impl Behaviour {
    pub(crate) fn draw(rng: &mut Rng) -> Behaviour {
        let whole = Behaviour {
            window: 1,
            calls: 1 + rng.below(12),
            chunk: 1 + rng.below(200),
            reads: true,
            answers_pings: !rng.one_in(3),
            requests_keepalive: !rng.one_in(4),
            login: [
                Login::Valid,
                Login::Valid,
                Login::FirstInvalid,
                Login::Never,
            ][rng.below(4)],
            bad_message_rate: None,
            departure: [
                Departure::Close,
                Departure::HalfClose,
                Departure::Disconnect,
                Departure::Stay,
            ][rng.below(4)],
            truncates_last: false,
        };
        match rng.below(9) {
            // Like virsh.
            0 => whole,
            1 | 2 => Behaviour {
                window: 2 + rng.below(8),
                ..whole
            },
            // One byte at a time.
            3 => Behaviour {
                chunk: 1,
                window: 4,
                calls: 1 + rng.below(4),
                ..whole
            },
            4 => Behaviour {
                truncates_last: true,
                window: 3,
                ..whole
            },
            // A flood.
            5 => Behaviour {
                window: 60,
                calls: 30 + rng.below(30),
                chunk: 4_000,
                ..whole
            },
            // A client that never reads.
            6 => Behaviour {
                reads: false,
                window: 60,
                calls: 10 + rng.below(30),
                ..whole
            },
            _ => Behaviour {
                bad_message_rate: Some(1 + rng.below(6)),
                window: 1 + rng.below(5),
                ..whole
            },
        }
    }
}
