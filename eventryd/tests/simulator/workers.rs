//! A model of the worker pool without threads. The simulator decides when a worker starts, takes a job and ends.

use crate::claims::claim;
use eventry::MonotonicTime;
use eventryd::driver::HypervisorSession;
use eventryd::server::{CallOutcome, PreparedCall};
use eventryd::session::Ticket;
use eventryd::worker_pool::{
    JobPriority, Scheduler, SubmitError, WorkerAction, WorkerKind, WorkerLimits,
};
use std::io;
use std::sync::Arc;
use test_support::rng::Rng;

pub(crate) enum Job {
    Call {
        client: u64,
        ticket: Ticket,
        serial: u32,
        call: PreparedCall,
    },
    /// A job that drops the hypervisor session of a client.
    Close(Arc<dyn HypervisorSession>),
}

/// A completed call without its reply.
pub(crate) struct Completed {
    pub(crate) client: u64,
    pub(crate) ticket: Ticket,
    pub(crate) serial: u32,
    pub(crate) outcome: CallOutcome,
}

/// One worker.
struct Thread {
    kind: WorkerKind,
    runs: Option<(u64, Job)>,
    /// The worker takes a job in its next step; otherwise it sleeps until it is woken.
    is_awake: bool,
}

/// The threads that the system provides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadSupply {
    /// The largest number of threads at a time.
    pub(crate) max: usize,
    /// One start in this many fails; `None` if none fails.
    pub(crate) failure_rate: Option<usize>,
}

impl ThreadSupply {
    pub(crate) const UNLIMITED: ThreadSupply = ThreadSupply {
        max: usize::MAX,
        failure_rate: None,
    };
}

/// The scheduler of the pool, its workers, and a separate list of the jobs.
pub(crate) struct PoolModel {
    scheduler: Scheduler<(u64, Job)>,
    limits: WorkerLimits,
    threads: Vec<Thread>,
    /// The submitted jobs that have not begun, oldest first.
    waiting: Vec<(u64, JobPriority)>,
    next_job: u64,
    pub(crate) supply: ThreadSupply,
    /// The last attempt to start workers failed.
    start_failed: bool,
    pub(crate) completed: Vec<Completed>,
    /// The number of calls that are submitted and not taken back.
    pub(crate) in_flight: usize,
    pub(crate) max_running: usize,
}

impl PoolModel {
    pub(crate) fn new(limits: WorkerLimits, supply: ThreadSupply) -> PoolModel {
        PoolModel {
            scheduler: Scheduler::new(limits),
            limits,
            threads: Vec::new(),
            waiting: Vec::new(),
            next_job: 0,
            supply,
            start_failed: false,
            completed: Vec::new(),
            in_flight: 0,
            max_running: 0,
        }
    }

    /// Submits a job; returns `true` if the pool takes it.
    pub(crate) fn submit(&mut self, job_priority: JobPriority, job: Job, rng: &mut Rng) -> bool {
        self.next_job += 1;
        let (number, is_call) = (self.next_job, matches!(job, Job::Call { .. }));
        let (threads, supply) = (&mut self.threads, self.supply);
        let mut start_failed = false;
        let submitted = self.scheduler.submit(job_priority, (number, job), |kind| {
            let started = start_worker(threads, kind, supply, rng);
            start_failed |= started.is_err();
            started
        });
        self.start_failed = start_failed;
        let is_taken = match submitted {
            Ok(()) => true,
            Err(SubmitError::NoWorker(..)) => false,
            Err(SubmitError::Stopped(_)) => panic!("DM-706: the pool was not stopped"),
        };
        if is_taken {
            self.waiting.push((number, job_priority));
            self.in_flight += usize::from(is_call);
            self.wake(job_priority, rng);
        }
        self.check();
        is_taken
    }

    /// Wakes sleeping workers for a job, as the pool does: one ordinary worker, and for a high-priority job one priority
    /// worker.
    fn wake(&mut self, job_priority: JobPriority, rng: &mut Rng) {
        for (kind, wakes) in [
            (WorkerKind::Ordinary, true),
            (WorkerKind::Priority, job_priority == JobPriority::High),
        ] {
            let asleep = self.threads.iter_mut();
            let mut asleep: Vec<&mut Thread> = asleep
                .filter(|thread| thread.kind == kind && thread.runs.is_none() && !thread.is_awake)
                .collect();
            if wakes && !asleep.is_empty() {
                let which = rng.below(asleep.len());
                asleep[which].is_awake = true;
            }
        }
    }

    pub(crate) fn set_limits(&mut self, limits: WorkerLimits, rng: &mut Rng) {
        self.limits = limits;
        self.start_failed = false;
        self.scheduler.set_limits(limits);
        if self.scheduler.has_started() {
            let (threads, supply) = (&mut self.threads, self.supply);
            let started = self
                .scheduler
                .start_workers(|kind| start_worker(threads, kind, supply, rng));
            self.start_failed = started.is_err();
        }
        for thread in &mut self.threads {
            thread.is_awake = thread.runs.is_none();
        }
        self.check();
    }

    /// Runs the next step of one worker; returns `false` if all of them sleep.
    pub(crate) fn step(&mut self, rng: &mut Rng, now: MonotonicTime) -> bool {
        let mut runnable = (0..self.threads.len()).filter(|at| {
            let thread = &self.threads[*at];
            thread.is_awake || thread.runs.is_some()
        });
        let count = runnable.clone().count();
        if count == 0 {
            return false;
        }
        let at = runnable.nth(rng.below(count)).expect("a runnable worker");
        let kind = self.threads[at].kind;
        if let Some((_, job)) = self.threads[at].runs.take() {
            self.finish(job, now);
            self.scheduler.job_finished(kind);
            self.threads[at].is_awake = true;
        } else {
            self.take_job(at, kind);
        }
        self.check();
        true
    }

    fn take_job(&mut self, at: usize, kind: WorkerKind) {
        match self.scheduler.next_action(kind) {
            WorkerAction::Run((number, job)) => {
                self.check_order(number, kind);
                self.threads[at].is_awake = false;
                self.threads[at].runs = Some((number, job));
            }
            WorkerAction::Wait => self.threads[at].is_awake = false,
            WorkerAction::Exit => drop(self.threads.swap_remove(at)),
        }
    }

    fn finish(&mut self, job: Job, now: MonotonicTime) {
        match job {
            Job::Call {
                client,
                ticket,
                serial,
                call,
            } => self.completed.push(Completed {
                client,
                ticket,
                serial,
                outcome: call.run(now),
            }),
            Job::Close(session) => drop(session),
        }
    }

    /// Takes the completed calls, sorted by client.
    pub(crate) fn take_completed(&mut self) -> Vec<Completed> {
        let mut completed = std::mem::take(&mut self.completed);
        self.in_flight -= completed.len();
        completed.sort_by_key(|call| call.client);
        completed
    }

    /// Checks that a worker takes the oldest job that it may take.
    fn check_order(&mut self, number: u64, kind: WorkerKind) {
        let mut waiting = self.waiting.iter();
        let oldest = waiting.find(|(_, job_priority)| {
            kind == WorkerKind::Ordinary || *job_priority == JobPriority::High
        });
        claim!(
            oldest.is_some_and(|(oldest, _)| *oldest == number),
            "DM-701",
            "{kind:?} takes job {number}, the oldest that it may take is {oldest:?}"
        );
        self.waiting.retain(|(waiting, _)| *waiting != number);
    }

    fn count(&self, predicate: impl Fn(&Thread) -> bool) -> usize {
        self.threads
            .iter()
            .filter(|thread| predicate(thread))
            .count()
    }

    fn check(&mut self) {
        let ordinary = self.count(|thread| thread.kind == WorkerKind::Ordinary);
        let priority = self.threads.len() - ordinary;
        let running = self.count(|thread| thread.runs.is_some());
        self.max_running = self.max_running.max(running);
        let stats = self.scheduler.stats();
        claim!(
            (
                stats.workers,
                stats.priority_workers,
                stats.running,
                stats.queued
            ) == (ordinary, priority, running, self.waiting.len()),
            "DM-701",
            "{stats:?} differs from {ordinary} ordinary and {priority} priority workers, {running} running jobs, waiting jobs {:?}",
            self.waiting
        );
        let free =
            self.count(|thread| thread.kind == WorkerKind::Ordinary && thread.runs.is_none());
        claim!(
            self.waiting.len() <= free || ordinary >= self.limits.max.get() || self.start_failed,
            "DM-702",
            "{} jobs wait, {free} of {ordinary} workers are free, the limit is {}",
            self.waiting.len(),
            self.limits.max
        );
        for (_, job_priority) in &self.waiting {
            let takes = |thread: &Thread| {
                thread.kind == WorkerKind::Ordinary || *job_priority == JobPriority::High
            };
            claim!(
                self.threads.iter().any(takes),
                "DM-702",
                "a job waits without a worker that may take it"
            );
        }
    }

    /// Checks that an idle pool has no waiting job, and no more workers than its limits allow.
    pub(crate) fn check_limits(&self) {
        let ordinary = self.count(|thread| thread.kind == WorkerKind::Ordinary);
        let priority = self.threads.len() - ordinary;
        claim!(
            ordinary <= self.limits.max.get() && priority <= self.limits.priority,
            "DM-703",
            "{ordinary} ordinary and {priority} priority workers are left, the limits are {:?}",
            self.limits
        );
        claim!(
            self.waiting.is_empty() && self.in_flight == 0,
            "DM-702",
            "jobs {:?} wait and {} calls are incomplete in an idle pool",
            self.waiting,
            self.in_flight
        );
    }

    /// Stops the pool, as the daemon does at its end; returns the number of dropped jobs.
    pub(crate) fn stop(&mut self, rng: &mut Rng, now: MonotonicTime) -> usize {
        let dropped = self.scheduler.stop();
        claim!(
            dropped.len() == self.waiting.len(),
            "DM-706",
            "{} jobs are dropped, {} were waiting",
            dropped.len(),
            self.waiting.len()
        );
        self.waiting.clear();
        for thread in &mut self.threads {
            thread.is_awake = thread.runs.is_none();
        }
        while self.step(rng, now) {}
        claim!(
            self.threads.is_empty(),
            "DM-706",
            "{} workers do not end",
            self.threads.len()
        );
        dropped.len()
    }
}

fn start_worker(
    threads: &mut Vec<Thread>,
    kind: WorkerKind,
    supply: ThreadSupply,
    rng: &mut Rng,
) -> io::Result<()> {
    if threads.len() >= supply.max || supply.failure_rate.is_some_and(|of| rng.one_in(of)) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    threads.push(Thread {
        kind,
        runs: None,
        is_awake: true,
    });
    Ok(())
}
