//! How often the seeds came to where mistakes hide.
//!
//! A scheduler that never gets there proves nothing, however many seeds it runs. The counts are printed, and
//! have floors.

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

            /// All counts, with their names.
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
    dropped_replies: "answers of clients that were gone",
    throttled: "clients throttled",
    ping_while_throttled: "bytes taken from throttled clients",
    partial_sends: "sends cut short",
    full_output: "clients that do not read stopped",
    unread: "clients closed that read too little",
    dead: "clients taken for dead",
    late: "deadlines met late",
    auth_timeouts: "clients closed that did not say who they are",
    denied: "clients denied",
    unfinished: "ends cut off",
    refused: "calls refused",
    violations: "violations",
    resets: "connections reset",
    peer_gone: "peers gone while not read from",
    half_closed: "half-closed clients answered in full",
    closed: "clients that closed in order",
    waited: "clients that had to wait",
    rejected: "waiting clients rejected",
    evicted: "clients evicted",
    out_of_descriptors: "accepts out of descriptors",
    turn_over: "turns over with messages left",
    no_worker: "calls without a worker",
    many_jobs: "more than four jobs at once",
    reloads: "limits changed",
    drained: "daemons stopped in order",
    drained_busy: "daemons stopped in order with calls in progress",
    grace_over: "daemons out of grace",
    stopped_twice: "daemons stopped at once",
    finished: "daemons that went on to the last client",
}

impl std::fmt::Display for Situations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in self.all() {
            writeln!(f, "{count:>9} {name}")?;
        }
        Ok(())
    }
}
