//! The list of the models, and those of the worker pool. A lost wake-up is a job that never runs, which shows as a deadlock of the thread that
//! waits for it.

use crate::outputs::{push_x_push_x_flush, push_x_sleep_x_close};
use eventryd::worker_pool::{JobPriority, WorkerLimits, WorkerPool};
use loom::sync::{Condvar, Mutex};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use test_support::models::Model;

const fn model(
    name: &'static str,
    what: &'static str,
    run: fn(),
    preemptions: Option<usize>,
    floor: usize,
) -> Model {
    Model {
        name,
        what,
        run,
        preemptions,
        floor,
    }
}

/// Models with three threads and two locks have too many executions, so their preemptions are limited to two, which
/// suffice to lose a wake-up.
pub(crate) const MODELS: &[Model] = &[
    model("W1", "submit_x_sleep", submit_x_sleep, None, 300),
    model(
        "W2",
        "submit_high_x_blocked_worker",
        submit_high_x_blocked_worker,
        Some(2),
        1_000,
    ),
    model(
        "W3",
        "raise_the_limit_x_blocked_worker",
        raise_the_limit_x_blocked_worker,
        Some(2),
        1_000,
    ),
    model("W4", "stop_x_work", stop_x_work, None, 800),
    model(
        "O1",
        "push_x_sleep_x_close",
        push_x_sleep_x_close,
        None,
        150,
    ),
    model(
        "O2",
        "push_x_push_x_flush",
        push_x_push_x_flush,
        Some(2),
        100,
    ),
];

fn workers(min: usize, max: usize, priority: usize) -> WorkerLimits {
    let max = NonZeroUsize::new(max).expect("at least one");
    WorkerLimits { min, max, priority }
}

/// A counter of arrivals to wait for.
#[derive(Default)]
struct Gate {
    arrived: Mutex<usize>,
    all: Condvar,
}

impl Gate {
    fn arrive(&self) {
        *self.arrived.lock().unwrap() += 1;
        self.all.notify_all();
    }

    fn wait_for(&self, count: usize) {
        let mut arrived = self.arrived.lock().unwrap();
        while *arrived < count {
            arrived = self.all.wait(arrived).unwrap();
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

fn pool(limits: WorkerLimits) -> WorkerPool<Job> {
    WorkerPool::new("worker", limits, |job: Job| job())
}

fn end(pool: &WorkerPool<Job>) {
    pool.stop();
    pool.join();
    let stats = pool.stats();
    assert_eq!((stats.running, stats.queued), (0, 0));
}

/// A job is submitted while the only worker goes to sleep.
fn submit_x_sleep() {
    let (pool, gate) = (pool(workers(1, 1, 0)), Arc::new(Gate::default()));
    pool.start().unwrap();
    let at = Arc::clone(&gate);
    let submitted = pool.submit(JobPriority::Normal, Box::new(move || at.arrive()));
    assert!(submitted.is_ok());
    gate.wait_for(1);
    end(&pool);
}

/// The only ordinary worker blocks until a high-priority job runs on the priority worker.
fn submit_high_x_blocked_worker() {
    let (pool, gate) = (pool(workers(1, 1, 1)), Arc::new(Gate::default()));
    let (blocked, high) = (Arc::clone(&gate), Arc::clone(&gate));
    let submitted = pool.submit(JobPriority::Normal, Box::new(move || blocked.wait_for(1)));
    assert!(submitted.is_ok());
    let submitted = pool.submit(JobPriority::High, Box::new(move || high.arrive()));
    assert!(submitted.is_ok());
    gate.wait_for(1);
    end(&pool);
}

/// The first job blocks until the second one runs, for which a raised limit allows a worker.
fn raise_the_limit_x_blocked_worker() {
    let (pool, gate) = (pool(workers(0, 1, 0)), Arc::new(Gate::default()));
    let (blocked, second) = (Arc::clone(&gate), Arc::clone(&gate));
    let submitted = pool.submit(JobPriority::Normal, Box::new(move || blocked.wait_for(1)));
    assert!(submitted.is_ok());
    let submitted = pool.submit(JobPriority::Normal, Box::new(move || second.arrive()));
    assert!(submitted.is_ok());
    pool.set_limits(workers(0, 2, 0)).unwrap();
    gate.wait_for(1);
    end(&pool);
}

/// The payload of a job, which counts its drop, after a run or without one.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A stop ends a worker in any state, and each job is run or dropped exactly once.
fn stop_x_work() {
    let pool = pool(workers(1, 1, 0));
    let over = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let counted = Counted(Arc::clone(&over));
        let submitted = pool.submit(JobPriority::Normal, Box::new(move || drop(counted)));
        assert!(submitted.is_ok());
    }
    end(&pool);
    assert_eq!(over.load(Relaxed), 2);
    let refused = pool.submit(
        JobPriority::Normal,
        Box::new(|| unreachable!("the pool is stopped")),
    );
    assert!(refused.is_err());
}
