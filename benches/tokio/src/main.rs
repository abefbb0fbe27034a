//! The workloads on tokio's current-thread runtime: PROGRAM WORKLOAD MILLISECONDS NUMBER…
//!
//! Tasks take the place of callbacks. It prints a line for each figure, its name and the number; and nothing for a
//! workload that tokio does not have: readiness is edge-triggered, and the interest of a descriptor cannot be changed.

mod add_remove;
mod churn;
mod memory;
mod relay;
#[path = "../../loops/section.rs"]
mod section;
mod timers;
mod wake;

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::env;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

/// Figures of one measurement, by name.
type Figures = Vec<(&'static str, f64)>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [workload, duration, numbers @ ..] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|number| number.parse()).collect();
    let (Ok(duration), Ok(numbers)) = (duration.parse(), numbers) else {
        return ExitCode::from(2);
    };
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Without it, only the cases with many descriptors fail.
    let _ = setrlimit(Resource::Nofile, raised);
    for (name, figure) in measure(workload, Duration::from_millis(duration), &numbers) {
        println!("{name} {figure}");
    }
    ExitCode::SUCCESS
}

fn measure(workload: &str, duration: Duration, numbers: &[u64]) -> Figures {
    match (workload, numbers) {
        ("relay", &[tokens, pairs, with_timers]) => {
            let relay = relay::run(duration, tokens, pairs, with_timers != 0);
            runtime().block_on(relay)
        }
        ("add-remove", []) => turning_runtime().block_on(add_remove::in_turns(duration)),
        ("add-remove-new", []) => turning_runtime().block_on(add_remove::new_descriptors(duration)),
        ("add-remove-back-to-back", []) => {
            turning_runtime().block_on(add_remove::back_to_back(duration))
        }
        ("add-remove-thread", []) => runtime().block_on(add_remove::from_thread(duration)),
        ("timers", &[count]) => turning_runtime().block_on(timers::change(count)),
        ("timers-push", &[count]) => turning_runtime().block_on(timers::push(count)),
        ("timers-expire", &[count]) => turning_runtime().block_on(timers::expire(count)),
        ("wake", &[count]) => runtime().block_on(wake::run(count)),
        ("churn", &[threads]) => runtime().block_on(churn::run(duration, threads)),
        ("memory-handles", &[count]) => turning_runtime().block_on(memory::handles(count)),
        ("memory-timers", &[count]) => turning_runtime().block_on(memory::timers(count)),
        _ => Vec::new(),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Creates a runtime in which each yield of the main task is a turn that asks for events.
fn turning_runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().event_interval(1).build().unwrap()
}

/// Registers a descriptor for reading.
#[allow(
    deprecated,
    reason = "the replacement is unsafe; the sources own or share open descriptors"
)]
fn readable<D: AsRawFd>(source: D) -> AsyncFd<D> {
    AsyncFd::with_interest(source, Interest::READABLE).unwrap()
}

/// Registers descriptors that are never ready.
fn idle(count: u64) -> Vec<AsyncFd<OwnedFd>> {
    (0..count).map(|_| readable(descriptor(0))).collect()
}

/// Creates a descriptor that is readable if `counter` is not 0.
fn descriptor(counter: u32) -> OwnedFd {
    let created = eventfd(counter, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
    created.unwrap_or_else(|error| panic!("cannot create a descriptor: {error}"))
}

/// Pseudo-random numbers, equal in every run: xorshift.
struct Random(u64);

impl Random {
    fn new() -> Random {
        Random(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
