//! Which job runs next, and how many workers there are: every decision of the pool, without a thread.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;

/// How many workers carry out calls that may block (DM-701).
///
/// ```
/// use eventryd::worker_pool::WorkerLimits;
///
/// let workers = WorkerLimits::default();
/// assert_eq!((workers.min, workers.max.get(), workers.priority), (5, 20, 5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Ordinary workers that are there from the start. More than `max` means `max` (DM-703). Default 5.
    pub min: usize,
    /// Ordinary workers at most. Default 20.
    pub max: NonZeroUsize,
    /// WorkerLimits beside them that take high-priority jobs only, so that those never wait behind jobs that
    /// block. Default 5.
    pub priority: usize,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            min: 5,
            max: const { NonZeroUsize::new(20).unwrap() },
            priority: 5,
        }
    }
}

/// What a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// Any job, the oldest first.
    Ordinary,
    /// High-priority jobs only, the oldest first.
    Priority,
}

/// Whether a job may be taken by the workers that are there for such only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPriority {
    /// It waits for an ordinary worker.
    Normal,
    /// Any worker takes it.
    High,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub enum WorkerAction<J> {
    /// Run this job, then say [`job_finished`](Scheduler::job_finished).
    Run(J),
    /// Wait until it is woken.
    Wait,
    /// End. It does not count any more.
    Exit,
}

/// How a pool stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Ordinary workers.
    pub workers: usize,
    /// WorkerLimits for high-priority jobs only.
    pub priority_workers: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that wait for a worker.
    pub queued: usize,
}

/// A job that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError<J> {
    /// The pool has been stopped.
    #[error("the workers have been stopped")]
    Stopped(J),
    /// There is no worker, and none can be started.
    #[error("cannot start a worker: {1}")]
    NoWorker(J, #[source] io::Error),
}

/// The jobs that wait, and who there is to run them.
///
/// The rule of growth (DM-702): an ordinary worker is started whenever more jobs wait than ordinary workers
/// are free, and there are fewer than the maximum. It is looked at wherever one of the two may have changed,
/// so it cannot stick.
#[derive(Debug)]
pub struct Scheduler<J> {
    limits: WorkerLimits,
    ordinary: WorkerCount,
    priority: WorkerCount,
    /// In the order in which they came; the high-priority ones have a queue of their own and the number of
    /// their sequence, so that both kinds of worker find theirs at once.
    normal_jobs: VecDeque<(u64, J)>,
    high_jobs: VecDeque<(u64, J)>,
    next_sequence: u64,
    /// Whether workers were ever asked for.
    started: bool,
    stopped: bool,
}

/// The workers of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct WorkerCount {
    /// All, from the decision to start one.
    total: usize,
    /// Those that run a job.
    busy: usize,
}

impl<J> Scheduler<J> {
    /// A plan in which nobody has been started.
    #[must_use]
    pub const fn new(limits: WorkerLimits) -> Scheduler<J> {
        Scheduler {
            limits,
            ordinary: WorkerCount { total: 0, busy: 0 },
            priority: WorkerCount { total: 0, busy: 0 },
            normal_jobs: VecDeque::new(),
            high_jobs: VecDeque::new(),
            next_sequence: 0,
            started: false,
            stopped: false,
        }
    }

    /// The worker to start now, which counts from here on. Ask until there is none, after each
    /// [`enqueue`](Self::enqueue) and [`set_limits`](Self::set_limits).
    pub fn reserve_worker(&mut self) -> Option<WorkerKind> {
        self.started = true;
        if self.stopped {
            return None;
        }
        let (min, max) = (self.limits.min, self.limits.max.get());
        let free = self.ordinary.total - self.ordinary.busy;
        let needed = self.ordinary.total < min || self.queued() > free;
        if needed && self.ordinary.total < max {
            self.ordinary.total += 1;
            return Some(WorkerKind::Ordinary);
        }
        if self.priority.total < self.limits.priority {
            self.priority.total += 1;
            return Some(WorkerKind::Priority);
        }
        None
    }

    /// Whether anybody has asked for workers to [`reserve_worker`](Self::reserve_worker): before that, a change of their number
    /// is no reason to.
    #[must_use]
    pub const fn has_started(&self) -> bool {
        self.started
    }

    /// Says that a worker could not be started after all.
    pub fn release_worker(&mut self, worker: WorkerKind) {
        self.count_of(worker).total -= 1;
    }

    /// Starts the workers there are too few of, each by `spawn`.
    ///
    /// # Errors
    /// The first that `spawn` returns; then no more are started for now.
    pub fn start_workers(
        &mut self,
        mut spawn: impl FnMut(WorkerKind) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(worker) = self.reserve_worker() {
            if let Err(error) = spawn(worker) {
                self.release_worker(worker);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Adds a job and starts the workers that it needs, each by `spawn`.
    ///
    /// # Errors
    /// [`SubmitError`], with the job. Where a worker cannot be started but others are there, the job waits for
    /// one of them.
    pub fn submit(
        &mut self,
        priority: JobPriority,
        job: J,
        spawn: impl FnMut(WorkerKind) -> io::Result<()>,
    ) -> Result<(), SubmitError<J>> {
        self.enqueue(priority, job).map_err(SubmitError::Stopped)?;
        match self.start_workers(spawn) {
            Ok(()) => Ok(()),
            Err(error) => match self.withdraw(priority) {
                Some(job) => Err(SubmitError::NoWorker(job, error)),
                None => Ok(()),
            },
        }
    }

    /// Adds a job.
    ///
    /// # Errors
    /// The job, if the pool has been stopped (DM-706).
    pub fn enqueue(&mut self, priority: JobPriority, job: J) -> Result<(), J> {
        if self.stopped {
            return Err(job);
        }
        let queue = match priority {
            JobPriority::Normal => &mut self.normal_jobs,
            JobPriority::High => &mut self.high_jobs,
        };
        queue.push_back((self.next_sequence, job));
        self.next_sequence += 1;
        Ok(())
    }

    /// Takes the last job back if nobody is there who would ever run it.
    pub fn withdraw(&mut self, priority: JobPriority) -> Option<J> {
        let (queue, workers) = match priority {
            JobPriority::Normal => (&mut self.normal_jobs, self.ordinary.total),
            JobPriority::High => (
                &mut self.high_jobs,
                self.ordinary.total + self.priority.total,
            ),
        };
        let withdrawn = if workers == 0 { queue.pop_back() } else { None };
        withdrawn.map(|(_, job)| job)
    }

    /// What a worker that runs nothing does now.
    pub fn next_action(&mut self, worker: WorkerKind) -> WorkerAction<J> {
        let limit = match worker {
            WorkerKind::Ordinary => self.limits.max.get(),
            WorkerKind::Priority => self.limits.priority,
        };
        if self.count_of(worker).total > limit && !self.is_last_for_queued_jobs(worker) {
            self.count_of(worker).total -= 1;
            return WorkerAction::Exit;
        }
        let sequence = |queue: &VecDeque<(u64, J)>| queue.front().map(|(sequence, _)| *sequence);
        let queue = match (
            worker,
            sequence(&self.normal_jobs),
            sequence(&self.high_jobs),
        ) {
            (WorkerKind::Ordinary, Some(normal), high) if high.is_none_or(|high| normal < high) => {
                &mut self.normal_jobs
            }
            _ => &mut self.high_jobs,
        };
        if let Some((_, job)) = queue.pop_front() {
            self.count_of(worker).busy += 1;
            return WorkerAction::Run(job);
        }
        if self.stopped {
            self.count_of(worker).total -= 1;
            return WorkerAction::Exit;
        }
        WorkerAction::Wait
    }

    /// Whether jobs wait that nobody would run any more if this worker ended: those who were to do so in its
    /// place could not be started.
    fn is_last_for_queued_jobs(&self, worker: WorkerKind) -> bool {
        let is_last = self.ordinary.total == 0 && self.priority.total == 1;
        worker == WorkerKind::Priority && is_last && !self.high_jobs.is_empty()
    }

    /// Says that a job is over.
    pub fn job_finished(&mut self, worker: WorkerKind) {
        self.count_of(worker).busy -= 1;
    }

    /// Changes how many workers there are. Who is too many ends when it has nothing to do, or after its job
    /// (DM-703).
    pub fn set_limits(&mut self, limits: WorkerLimits) {
        self.limits = limits;
    }

    /// Ends the pool: no job is taken any more, those that wait are returned, those that run are finished
    /// (DM-706).
    pub fn stop(&mut self) -> Vec<J> {
        self.stopped = true;
        let waiting = self.normal_jobs.drain(..).chain(self.high_jobs.drain(..));
        waiting.map(|(_, job)| job).collect()
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            workers: self.ordinary.total,
            priority_workers: self.priority.total,
            running: self.ordinary.busy + self.priority.busy,
            queued: self.queued(),
        }
    }

    fn queued(&self) -> usize {
        self.normal_jobs.len() + self.high_jobs.len()
    }

    const fn count_of(&mut self, worker: WorkerKind) -> &mut WorkerCount {
        match worker {
            WorkerKind::Ordinary => &mut self.ordinary,
            WorkerKind::Priority => &mut self.priority,
        }
    }
}
