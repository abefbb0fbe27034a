//! Threads for what may block: a queue of jobs and the workers that run them (DM-701 to DM-706).
//!
//! Everything that can be decided without a thread is decided by [`Plan`]; what is left here is the lock
//! around it, the sleep of the workers and their threads. Jobs run and are dropped without the lock.

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{Next, Plan, PoolStats, Rejected, Urgency, Worker, Workers};

use crate::sync::{Arc, Condvar, Mutex, spawn};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A pool of workers that run jobs of the type `J`.
///
/// ```
/// use eventryd::worker_pool::{Pool, Urgency, Workers};
/// use std::sync::mpsc::channel;
///
/// let (done, results) = channel();
/// let pool = Pool::new("worker", Workers::default(), move |job: u32| done.send(job * 2).unwrap());
/// pool.submit(Urgency::Normal, 21).unwrap();
/// assert_eq!(results.recv(), Ok(42));
/// pool.stop();
/// pool.wait();
/// ```
pub struct Pool<J: Send + 'static> {
    shared: Arc<Shared<J>>,
}

struct Shared<J> {
    name: &'static str,
    run: Box<dyn Fn(J) + Send + Sync>,
    plan: Mutex<Plan<J>>,
    /// Told of every job.
    ordinary: Condvar,
    /// Told of high-priority jobs.
    priority: Condvar,
    /// Told when a worker has ended.
    ended: Condvar,
}

impl<J: Send + 'static> Pool<J> {
    /// A pool whose workers run jobs by `run`, on threads of this name. They are started with the first job,
    /// or by [`start`](Self::start).
    ///
    /// A job that panics is over; its worker goes on.
    pub fn new(
        name: &'static str,
        workers: Workers,
        run: impl Fn(J) + Send + Sync + 'static,
    ) -> Pool<J> {
        Pool {
            shared: Arc::new(Shared {
                name,
                run: Box::new(run),
                plan: Mutex::new(Plan::new(workers)),
                ordinary: Condvar::new(),
                priority: Condvar::new(),
                ended: Condvar::new(),
            }),
        }
    }

    /// Starts the workers that are to be there from the start.
    ///
    /// # Errors
    /// The operating system's, if it has no thread to give. Those that could be started are there.
    pub fn start(&self) -> io::Result<()> {
        self.shared.plan.lock().staff(|worker| self.begin(worker))
    }

    /// Has a job run, by a new worker if all are busy and there may be more.
    ///
    /// # Errors
    /// [`Rejected`], with the job. Where a worker cannot be started but others are there, the job waits for
    /// one of them.
    pub fn submit(&self, urgency: Urgency, job: J) -> Result<(), Rejected<J>> {
        // Under the lock, so that nobody takes what may have to be withdrawn.
        let mut plan = self.shared.plan.lock();
        plan.hand_in(urgency, job, |worker| self.begin(worker))?;
        drop(plan);
        self.shared.ordinary.notify_one();
        if urgency == Urgency::High {
            self.shared.priority.notify_one();
        }
        Ok(())
    }

    /// Changes how many workers there are, at any time. A pool whose workers nobody has needed yet has none
    /// still.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn set_workers(&self, workers: Workers) -> io::Result<()> {
        let mut plan = self.shared.plan.lock();
        plan.set_limits(workers);
        let started = if plan.has_begun() {
            plan.staff(|worker| self.begin(worker))
        } else {
            Ok(())
        };
        drop(plan);
        self.wake_all();
        started
    }

    /// Takes no more jobs, drops those that wait and has the workers end after those that run (DM-706).
    pub fn stop(&self) {
        let waiting = self.shared.plan.lock().stop();
        self.wake_all();
        drop(waiting);
    }

    /// Waits until all workers have ended, which they do once the pool has been [stopped](Self::stop) and
    /// the jobs that run are over. Not to be called by a job.
    pub fn wait(&self) {
        let mut plan = self.shared.plan.lock();
        while plan.stats().workers + plan.stats().priority_workers > 0 {
            plan = self.shared.ended.wait(plan);
        }
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.plan.lock().stats()
    }

    fn begin(&self, worker: Worker) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        spawn(shared.name, move || shared.work(worker))
    }

    fn wake_all(&self) {
        self.shared.ordinary.notify_all();
        self.shared.priority.notify_all();
    }
}

impl<J> Shared<J> {
    /// What a worker does from its first to its last moment.
    fn work(&self, worker: Worker) {
        let jobs = match worker {
            Worker::Ordinary => &self.ordinary,
            Worker::Priority => &self.priority,
        };
        let mut plan = self.plan.lock();
        loop {
            plan = match plan.next(worker) {
                Next::Run(job) => {
                    drop(plan);
                    // The panic has been reported by its hook; it concerns nobody but the job.
                    let _ = catch_unwind(AssertUnwindSafe(|| (self.run)(job)));
                    let mut plan = self.plan.lock();
                    plan.finished(worker);
                    plan
                }
                Next::Wait => jobs.wait(plan),
                Next::Exit => break,
            };
        }
        drop(plan);
        self.ended.notify_all();
    }
}

impl<J: Send + 'static> Drop for Pool<J> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<J: Send + 'static> fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.shared.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
