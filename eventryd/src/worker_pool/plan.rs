//! Which job runs next, and how many workers there are: every decision of the pool, without a thread.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;

/// How many workers carry out calls that may block (DM-701).
///
/// ```
/// use eventryd::worker_pool::Workers;
///
/// let workers = Workers::default();
/// assert_eq!((workers.min, workers.max.get(), workers.priority), (5, 20, 5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Ordinary workers that are there from the start. More than `max` means `max` (DM-703). Default 5.
    pub min: usize,
    /// Ordinary workers at most. Default 20.
    pub max: NonZeroUsize,
    /// Workers beside them that take high-priority jobs only, so that those never wait behind jobs that
    /// block. Default 5.
    pub priority: usize,
}

impl Default for Workers {
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
pub enum Worker {
    /// Any job, the oldest first.
    Ordinary,
    /// High-priority jobs only, the oldest first.
    Priority,
}

/// Whether a job may be taken by the workers that are there for such only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It waits for an ordinary worker.
    Normal,
    /// Any worker takes it.
    High,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<J> {
    /// Run this job, then say [`finished`](Plan::finished).
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
    /// Workers for high-priority jobs only.
    pub priority_workers: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that wait for a worker.
    pub queued: usize,
}

/// A job that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Rejected<J> {
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
pub struct Plan<J> {
    limits: Workers,
    ordinary: Crew,
    priority: Crew,
    /// In the order in which they came; the high-priority ones have a queue of their own and the number of
    /// their turn, so that both kinds of worker find theirs at once.
    normal: VecDeque<(u64, J)>,
    high: VecDeque<(u64, J)>,
    next_turn: u64,
    /// Whether workers were ever asked for.
    begun: bool,
    stopped: bool,
}

/// The workers of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Crew {
    /// All, from the decision to start one.
    count: usize,
    /// Those that run a job.
    busy: usize,
}

impl<J> Plan<J> {
    /// A plan in which nobody has been started.
    #[must_use]
    pub const fn new(limits: Workers) -> Plan<J> {
        Plan {
            limits,
            ordinary: Crew { count: 0, busy: 0 },
            priority: Crew { count: 0, busy: 0 },
            normal: VecDeque::new(),
            high: VecDeque::new(),
            next_turn: 0,
            begun: false,
            stopped: false,
        }
    }

    /// The worker to start now, which counts from here on. Ask until there is none, after each
    /// [`submit`](Self::submit) and [`set_limits`](Self::set_limits).
    pub fn start(&mut self) -> Option<Worker> {
        self.begun = true;
        if self.stopped {
            return None;
        }
        let (min, max) = (self.limits.min, self.limits.max.get());
        let free = self.ordinary.count - self.ordinary.busy;
        let needed = self.ordinary.count < min || self.queued() > free;
        if needed && self.ordinary.count < max {
            self.ordinary.count += 1;
            return Some(Worker::Ordinary);
        }
        if self.priority.count < self.limits.priority {
            self.priority.count += 1;
            return Some(Worker::Priority);
        }
        None
    }

    /// Whether anybody has asked for workers to [`start`](Self::start): before that, a change of their number
    /// is no reason to.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Says that a worker could not be started after all.
    pub fn not_started(&mut self, worker: Worker) {
        self.crew(worker).count -= 1;
    }

    /// Starts the workers there are too few of, each by `begin`.
    ///
    /// # Errors
    /// The first that `begin` returns; then no more are started for now.
    pub fn staff(&mut self, mut begin: impl FnMut(Worker) -> io::Result<()>) -> io::Result<()> {
        while let Some(worker) = self.start() {
            if let Err(error) = begin(worker) {
                self.not_started(worker);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Adds a job and starts the workers that it needs, each by `begin`.
    ///
    /// # Errors
    /// [`Rejected`], with the job. Where a worker cannot be started but others are there, the job waits for
    /// one of them.
    pub fn hand_in(
        &mut self,
        urgency: Urgency,
        job: J,
        begin: impl FnMut(Worker) -> io::Result<()>,
    ) -> Result<(), Rejected<J>> {
        self.submit(urgency, job).map_err(Rejected::Stopped)?;
        match self.staff(begin) {
            Ok(()) => Ok(()),
            Err(error) => match self.withdraw(urgency) {
                Some(job) => Err(Rejected::NoWorker(job, error)),
                None => Ok(()),
            },
        }
    }

    /// Adds a job.
    ///
    /// # Errors
    /// The job, if the pool has been stopped (DM-706).
    pub fn submit(&mut self, urgency: Urgency, job: J) -> Result<(), J> {
        if self.stopped {
            return Err(job);
        }
        let queue = match urgency {
            Urgency::Normal => &mut self.normal,
            Urgency::High => &mut self.high,
        };
        queue.push_back((self.next_turn, job));
        self.next_turn += 1;
        Ok(())
    }

    /// Takes the last job back if nobody is there who would ever run it.
    pub fn withdraw(&mut self, urgency: Urgency) -> Option<J> {
        let (queue, crews) = match urgency {
            Urgency::Normal => (&mut self.normal, self.ordinary.count),
            Urgency::High => (&mut self.high, self.ordinary.count + self.priority.count),
        };
        let withdrawn = if crews == 0 { queue.pop_back() } else { None };
        withdrawn.map(|(_, job)| job)
    }

    /// What a worker that runs nothing does now.
    pub fn next(&mut self, worker: Worker) -> Next<J> {
        let limit = match worker {
            Worker::Ordinary => self.limits.max.get(),
            Worker::Priority => self.limits.priority,
        };
        if self.crew(worker).count > limit && !self.is_last_resort(worker) {
            self.crew(worker).count -= 1;
            return Next::Exit;
        }
        let turn = |queue: &VecDeque<(u64, J)>| queue.front().map(|(turn, _)| *turn);
        let queue = match (worker, turn(&self.normal), turn(&self.high)) {
            (Worker::Ordinary, Some(normal), high) if high.is_none_or(|high| normal < high) => {
                &mut self.normal
            }
            _ => &mut self.high,
        };
        if let Some((_, job)) = queue.pop_front() {
            self.crew(worker).busy += 1;
            return Next::Run(job);
        }
        if self.stopped {
            self.crew(worker).count -= 1;
            return Next::Exit;
        }
        Next::Wait
    }

    /// Whether jobs wait that nobody would run any more if this worker ended: those who were to do so in its
    /// place could not be started.
    fn is_last_resort(&self, worker: Worker) -> bool {
        let is_last = self.ordinary.count == 0 && self.priority.count == 1;
        worker == Worker::Priority && is_last && !self.high.is_empty()
    }

    /// Says that a job is over.
    pub fn finished(&mut self, worker: Worker) {
        self.crew(worker).busy -= 1;
    }

    /// Changes how many workers there are. Who is too many ends when it has nothing to do, or after its job
    /// (DM-703).
    pub fn set_limits(&mut self, limits: Workers) {
        self.limits = limits;
    }

    /// Ends the pool: no job is taken any more, those that wait are returned, those that run are finished
    /// (DM-706).
    pub fn stop(&mut self) -> Vec<J> {
        self.stopped = true;
        let waiting = self.normal.drain(..).chain(self.high.drain(..));
        waiting.map(|(_, job)| job).collect()
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            workers: self.ordinary.count,
            priority_workers: self.priority.count,
            running: self.ordinary.busy + self.priority.busy,
            queued: self.queued(),
        }
    }

    fn queued(&self) -> usize {
        self.normal.len() + self.high.len()
    }

    const fn crew(&mut self, worker: Worker) -> &mut Crew {
        match worker {
            Worker::Ordinary => &mut self.ordinary,
            Worker::Priority => &mut self.priority,
        }
    }
}
