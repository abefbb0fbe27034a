//! The decisions of the pool, without threads: the job that runs next and the number of workers.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;

/// Limits for the number of workers (DM-701).
///
/// ```
/// use eventryd::worker_pool::WorkerLimits;
///
/// let workers = WorkerLimits::default();
/// assert_eq!((workers.min, workers.max.get(), workers.priority), (5, 20, 5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Ordinary workers that are started at once. A value above `max` counts as `max` (DM-703).
    /// Default: 5.
    pub min: usize,
    /// Maximum number of ordinary workers. Default: 20.
    pub max: NonZeroUsize,
    /// Additional workers that run high-priority jobs only, so that these jobs never wait behind
    /// jobs that block. Default: 5.
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

/// The kinds of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    /// Runs any job, the oldest first.
    Ordinary,
    /// Runs high-priority jobs only, the oldest first.
    Priority,
}

/// The priority of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPriority {
    /// Runs on an ordinary worker.
    Normal,
    /// Runs on any worker.
    High,
}

/// The next step of a worker.
#[derive(Debug, PartialEq, Eq)]
pub enum WorkerAction<J> {
    /// Run this job, then call [`job_finished`](Scheduler::job_finished).
    Run(J),
    /// Sleep until woken, then call [`next_action`](Scheduler::next_action) again.
    Wait,
    /// End the thread. The worker is no longer counted.
    Exit,
}

/// The numbers of workers and jobs of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Ordinary workers.
    pub workers: usize,
    /// Workers for high-priority jobs only.
    pub priority_workers: usize,
    /// Jobs that are running.
    pub running: usize,
    /// Jobs that wait for a worker.
    pub queued: usize,
}

/// The reason why a job was not queued, with the job.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError<J> {
    /// The pool was stopped.
    #[error("the worker pool is stopped")]
    Stopped(J),
    /// The pool has no worker and cannot start one.
    #[error("cannot start a worker: {1}")]
    NoWorker(J, #[source] io::Error),
}

/// The queued jobs and the number of workers.
///
/// Growth (DM-702): an ordinary worker starts whenever more jobs are queued than ordinary workers
/// are free, up to the maximum. The condition is checked after every change of either number, so a
/// burst of jobs cannot leave a job without a worker.
#[derive(Debug)]
pub struct Scheduler<J> {
    limits: WorkerLimits,
    ordinary: WorkerCount,
    priority: WorkerCount,
    /// Jobs with a sequence number, the oldest first. Two queues, so that a worker of either kind
    /// finds its next job at the front.
    normal_jobs: VecDeque<(u64, J)>,
    high_jobs: VecDeque<(u64, J)>,
    next_sequence: u64,
    /// Set once workers were requested.
    started: bool,
    stopped: bool,
}

/// The numbers of workers of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct WorkerCount {
    /// All workers, including those whose thread is being started.
    total: usize,
    /// Workers that run a job.
    busy: usize,
}

impl<J> Scheduler<J> {
    /// Creates a scheduler without workers.
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

    /// Reserves the next worker to start, and counts it. Call this until it returns `None`, after
    /// each [`enqueue`](Self::enqueue) and [`set_limits`](Self::set_limits).
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

    /// Returns `true` if workers were ever requested with [`reserve_worker`](Self::reserve_worker).
    /// Before that, a change of the limits starts none.
    #[must_use]
    pub const fn has_started(&self) -> bool {
        self.started
    }

    /// Removes a reserved worker whose thread could not be started.
    pub fn release_worker(&mut self, worker: WorkerKind) {
        self.count_of(worker).total -= 1;
    }

    /// Starts the missing workers by calling `spawn` for each.
    ///
    /// # Errors
    /// The first error of `spawn`. No further worker is started then.
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

    /// Queues a job and starts the workers that it needs by calling `spawn` for each.
    ///
    /// # Errors
    /// [`SubmitError`] with the job. If `spawn` fails but other workers exist, the job waits for
    /// one of them and the call succeeds.
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

    /// Queues a job.
    ///
    /// # Errors
    /// The job, if the pool was stopped (DM-706).
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

    /// Removes the newest job of this priority if no worker exists that could run it.
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

    /// Returns the next step of a worker that is not running a job.
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

    /// Returns `true` if this is the only worker left and high-priority jobs are queued. It must
    /// not end then, because the ordinary workers could not be started.
    fn is_last_for_queued_jobs(&self, worker: WorkerKind) -> bool {
        let is_last = self.ordinary.total == 0 && self.priority.total == 1;
        worker == WorkerKind::Priority && is_last && !self.high_jobs.is_empty()
    }

    /// Records that a worker has finished its job.
    pub fn job_finished(&mut self, worker: WorkerKind) {
        self.count_of(worker).busy -= 1;
    }

    /// Returns the limits.
    pub const fn limits(&self) -> WorkerLimits {
        self.limits
    }

    /// Changes the limits. Surplus workers end when they are idle or after their current job
    /// (DM-703).
    pub fn set_limits(&mut self, limits: WorkerLimits) {
        self.limits = limits;
    }

    /// Stops the pool and returns the queued jobs. Running jobs finish; new ones are refused
    /// (DM-706).
    pub fn stop(&mut self) -> Vec<J> {
        self.stopped = true;
        let waiting = self.normal_jobs.drain(..).chain(self.high_jobs.drain(..));
        waiting.map(|(_, job)| job).collect()
    }

    /// Returns the numbers of workers and jobs.
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
