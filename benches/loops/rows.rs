//! The rows of the table, and the measurements that they are taken from.

use rustix::process::{Resource, getrlimit};

/// A measurement: one process per peer and round.
pub(crate) struct Case {
    /// W0 to W7.
    pub(crate) group: &'static str,
    pub(crate) workload: &'static str,
    pub(crate) numbers: Vec<u64>,
    /// Peer that the ratios refer to.
    pub(crate) floor: Floor,
    /// Factor of the duration, for measurements that depend on more than one thread.
    pub(crate) longer: u32,
    /// Number of descriptors that it needs.
    pub(crate) descriptors: u64,
    /// Set if `--quick` leaves it out.
    pub(crate) is_long: bool,
    pub(crate) rows: Vec<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floor {
    /// Without lock.
    Bare,
    /// With one lock, for workloads with several threads.
    Locked,
}

pub(crate) struct Row {
    pub(crate) name: String,
    /// Name of the figure that the measurement prints.
    pub(crate) figure: &'static str,
    pub(crate) unit: Unit,
    pub(crate) target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    PerSecond,
    Bytes,
}

/// The values that eventry must reach: in Rust, and through C.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Ratios to the floor.
    AtMost([f64; 2]),
    /// Ratios to the floor.
    AtLeast([f64; 2]),
    Bytes([f64; 2]),
    None,
}

impl Case {
    fn new(group: &'static str, workload: &'static str, numbers: &[u64]) -> Case {
        Case {
            group,
            workload,
            numbers: numbers.to_vec(),
            floor: Floor::Bare,
            longer: 1,
            descriptors: 1_200,
            is_long: false,
            rows: Vec::new(),
        }
    }

    fn row(
        mut self,
        name: impl Into<String>,
        figure: &'static str,
        unit: Unit,
        target: Target,
    ) -> Case {
        self.rows.push(Row {
            name: format!("{} {}", self.group, name.into()),
            figure,
            unit,
            target,
        });
        self
    }

    /// Adds a row of CPU time per operation.
    fn cpu(self, name: impl Into<String>, at_most: [f64; 2]) -> Case {
        self.row(name, "cpu", Unit::Nanoseconds, Target::AtMost(at_most))
    }

    fn needs(mut self, descriptors: u64) -> Case {
        self.descriptors = descriptors + 100;
        self
    }

    fn with_threads(mut self) -> Case {
        self.floor = Floor::Locked;
        self.longer = 3;
        self
    }

    fn long(mut self) -> Case {
        self.is_long = true;
        self
    }

    pub(crate) fn has_descriptors(&self) -> bool {
        getrlimit(Resource::Nofile)
            .maximum
            .is_none_or(|maximum| maximum >= self.descriptors)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (ready, all) in [
        (1, 100),
        (100, 100),
        (1, 1_000),
        (100, 1_000),
        (1_000, 1_000),
        (100, 10_000),
    ] {
        let name = format!("dispatch, {} ready of {}", grouped(ready), grouped(all));
        cases.push(
            Case::new("W0", "dispatch", &[ready, all])
                .cpu(
                    name,
                    if ready == 1 {
                        [1.15, 1.18]
                    } else {
                        [1.1, 1.12]
                    },
                )
                .needs(all),
        );
    }
    for (tokens, pairs) in [(100, 1_000), (1_000, 9_900)] {
        for with_timers in [0, 1] {
            let timers = if with_timers == 1 {
                " with a timer each"
            } else {
                ""
            };
            let name = format!("relay{timers}, {} in {}", grouped(tokens), grouped(pairs));
            let case = Case::new("W1", "relay", &[tokens, pairs, with_timers]);
            cases.push(case.cpu(name, [1.1, 1.15]).needs(2 * pairs));
        }
    }
    cases.extend([
        Case::new("W2", "add-remove", &[]).cpu("add and remove, a turn after each", [1.0, 1.1]),
        Case::new("W2", "add-remove-new", &[]).cpu("the same, new descriptors", [1.0, 1.1]),
        Case::new("W2", "add-remove-back-to-back", &[])
            .cpu("add and remove back to back", [0.05, 0.08]),
        Case::new("W2", "add-remove-thread", &[])
            .cpu("add and remove from another thread", [0.05, 0.08])
            .with_threads(),
        Case::new("W3", "update", &[]).cpu("change and back, a turn after each", [0.9, 1.0]),
        Case::new("W3", "update-back-to-back", &[]).row(
            "change and back to back",
            "cpu",
            Unit::Nanoseconds,
            Target::None,
        ),
    ]);
    cases.extend([1_000, 10_000, 1_000_000].into_iter().flat_map(timer_cases));
    cases.push(Case::new("W5", "wake", &[500]).row(
        "wake, median latency",
        "latency",
        Unit::Nanoseconds,
        Target::AtMost([0.95, 1.0]),
    ));
    cases.extend([1, 2, 4].map(churn_case));
    cases.push(
        Case::new("W7", "memory-handles", &[9_000])
            .row(
                "memory per idle handle",
                "bytes",
                Unit::Bytes,
                Target::Bytes([96.0, 112.0]),
            )
            .needs(9_000),
    );
    cases.push(Case::new("W7", "memory-timers", &[100_000]).row(
        "memory per timer",
        "bytes",
        Unit::Bytes,
        Target::Bytes([80.0, 96.0]),
    ));
    cases
}

fn timer_cases(count: u64) -> [Case; 3] {
    let case = |workload| {
        let case = Case::new("W4", workload, &[count]);
        if count > 100_000 { case.long() } else { case }
    };
    let row = |case: Case, name: &str, figure, target| {
        let name = format!("{} timers: {name}", grouped(count));
        case.row(name, figure, Unit::Nanoseconds, target)
    };
    // The figures for changes are for 10,000 timers.
    let changes = |at_most| match count {
        10_000 => Target::AtMost(at_most),
        _ => Target::None,
    };
    let change = row(case("timers"), "add", "add", changes([2.0, 2.4]));
    let change = row(change, "update", "update", changes([1.5, 1.8]));
    let push = Target::AtMost([1.5, 1.8]);
    let expire = Target::AtMost([1.3, 1.6]);
    [
        row(change, "remove", "remove", changes([2.0, 2.4])),
        row(case("timers-push"), "push idle timers out", "push", push),
        row(case("timers-expire"), "expire", "expire", expire),
    ]
}

fn churn_case(threads: u64) -> Case {
    let plural = if threads == 1 { "" } else { "s" };
    let case = Case::new("W6", "churn", &[threads]).with_threads();
    let case = case.row(
        format!("churn by {threads} thread{plural}: adds and removals per second"),
        "changes",
        Unit::PerSecond,
        Target::AtLeast([40.0, 30.0]),
    );
    let case = case.row(
        format!("churn by {threads} thread{plural}: calls per second meanwhile"),
        "calls",
        Unit::PerSecond,
        Target::AtLeast([1.0, 1.0]),
    );
    if threads == 2 { case } else { case.long() }
}

/// Returns a number with a comma after each group of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
