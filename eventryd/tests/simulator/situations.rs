//! Counts of rare situations.
//!
//! The counts are printed and have floors, because a scheduler that never reaches a situation proves nothing about it.

/// Counts of situations, each with its name.
macro_rules! situations {
    ($($field:ident: $name:literal),+ $(,)?) => {
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Situations {
            $(pub(crate) $field: usize,)+
        }

        impl Situations {
            /// Adds the counts of another run.
            pub(crate) fn add(&mut self, other: &Situations) {
                $(self.$field += other.$field;)+
            }

            /// Returns all counts with their names.
            pub(crate) fn all(&self) -> Vec<(&'static str, usize)> {
                vec![$(($name, self.$field)),+]
            }
        }
    };
}

situations! {
    steps: "steps",
    accepted: "clients accepted",
    answered: "calls answered by workers",
    dropped_replies: "replies to disconnected clients dropped",
    throttled: "clients throttled",
    ping_while_throttled: "reads from throttled clients",
    partial_sends: "sends cut short",
    full_output: "clients not read from because of unread output",
    unread: "clients closed for unread output",
    dead: "clients closed by keepalive",
    late: "deadlines handled late",
    auth_timeouts: "clients closed by the authentication timeout",
    handshake_timeouts: "clients closed by the handshake timeout",
    denied: "clients denied",
    unfinished: "closes cut off by the linger limit",
    refused: "calls refused",
    violations: "violations",
    resets: "connections reset",
    peer_gone: "disconnects detected while not reading",
    half_closed: "half-closed clients answered in full",
    closed: "clients closed by their own request",
    waited: "clients kept waiting",
    in_turn: "clients admitted while others wait for another kind of slot",
    rejected: "waiting clients rejected",
    evicted: "clients evicted",
    out_of_descriptors: "accepts without a free descriptor",
    turn_over: "turns ended with messages left",
    no_worker: "calls without a worker",
    many_jobs: "worlds with more than four jobs at once",
    reloads: "reloads",
    drained: "daemons stopped in order",
    drained_busy: "daemons stopped in order with calls in progress",
    grace_over: "daemons stopped at the end of the grace",
    stopped_twice: "daemons stopped by a second request",
    finished: "daemons that served until the last client",
}

impl std::fmt::Display for Situations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in self.all() {
            writeln!(f, "{count:>9} {name}")?;
        }
        Ok(())
    }
}
