//! Threads for what may block: a queue of jobs and the workers that run them (DM-701 to DM-706).
//!
//! Everything that can be decided without a thread is decided by [`Scheduler`]; what is left here is the lock
//! around it, the sleep of the workers and their threads. Jobs run and are dropped without the lock.

mod scheduler;
#[cfg(test)]
mod tests;

pub use scheduler::{
    JobPriority, PoolStats, Scheduler, SubmitError, WorkerAction, WorkerKind, WorkerLimits,
};

use crate::sync::{Arc, Condvar, Mutex, spawn};
use eventry::planted::{Defect, planted};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A pool of workers that run jobs of the type `J`.
///
/// ```
/// use eventryd::worker_pool::{WorkerPool, JobPriority, WorkerLimits};
/// use std::sync::mpsc::channel;
///
/// let (done, results) = channel();
/// let pool = WorkerPool::new("worker", WorkerLimits::default(), move |job: u32| done.send(job * 2).unwrap());
/// pool.submit(JobPriority::Normal, 21).unwrap();
/// assert_eq!(results.recv(), Ok(42));
/// pool.stop();
/// pool.join();
/// ```
pub struct WorkerPool<J: Send + 'static> {
    shared: Arc<Shared<J>>,
}

struct Shared<J> {
    name: &'static str,
    run: Box<dyn Fn(J) + Send + Sync>,
    scheduler: Mutex<Scheduler<J>>,
    /// Told of every job.
    job_queued: Condvar,
    /// Told of high-priority jobs.
    high_job_queued: Condvar,
    /// Told when a worker has ended.
    worker_exited: Condvar,
}

impl<J: Send + 'static> WorkerPool<J> {
    /// A pool whose workers run jobs by `run`, on threads of this name. They are started with the first job,
    /// or by [`start`](Self::start).
    ///
    /// A job that panics is over; its worker goes on.
    pub fn new(
        name: &'static str,
        workers: WorkerLimits,
        run: impl Fn(J) + Send + Sync + 'static,
    ) -> WorkerPool<J> {
        WorkerPool {
            shared: Arc::new(Shared {
                name,
                run: Box::new(run),
                scheduler: Mutex::new(Scheduler::new(workers)),
                job_queued: Condvar::new(),
                high_job_queued: Condvar::new(),
                worker_exited: Condvar::new(),
            }),
        }
    }

    /// Starts the workers that are to be there from the start.
    ///
    /// # Errors
    /// The operating system's, if it has no thread to give. Those that could be started are there.
    pub fn start(&self) -> io::Result<()> {
        self.shared
            .scheduler
            .lock()
            .start_workers(|worker| self.spawn_worker(worker))
    }

    /// Has a job run, by a new worker if all are busy and there may be more.
    ///
    /// # Errors
    /// [`SubmitError`], with the job. Where a worker cannot be started but others are there, the job waits for
    /// one of them.
    pub fn submit(&self, priority: JobPriority, job: J) -> Result<(), SubmitError<J>> {
        // Under the lock, so that nobody takes what may have to be withdrawn.
        let mut scheduler = self.shared.scheduler.lock();
        scheduler.submit(priority, job, |worker| self.spawn_worker(worker))?;
        drop(scheduler);
        if planted(Defect::WorkerNotWoken) {
            return Ok(());
        }
        self.shared.job_queued.notify_one();
        if priority == JobPriority::High && !planted(Defect::PriorityNotWoken) {
            self.shared.high_job_queued.notify_one();
        }
        Ok(())
    }

    /// Changes how many workers there are, at any time. A pool whose workers nobody has needed yet has none
    /// still.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn set_limits(&self, workers: WorkerLimits) -> io::Result<()> {
        let mut scheduler = self.shared.scheduler.lock();
        scheduler.set_limits(workers);
        let started = if scheduler.has_started() && !planted(Defect::GrowthForgotten) {
            scheduler.start_workers(|worker| self.spawn_worker(worker))
        } else {
            Ok(())
        };
        drop(scheduler);
        self.wake_all();
        started
    }

    /// Takes no more jobs, drops those that wait and has the workers end after those that run (DM-706).
    pub fn stop(&self) {
        let waiting = self.shared.scheduler.lock().stop();
        if !planted(Defect::StopUntold) {
            self.wake_all();
        }
        drop(waiting);
    }

    /// Waits until all workers have ended, which they do once the pool has been [stopped](Self::stop) and
    /// the jobs that run are over. Not to be called by a job.
    pub fn join(&self) {
        let mut scheduler = self.shared.scheduler.lock();
        while scheduler.stats().workers + scheduler.stats().priority_workers > 0 {
            scheduler = self.shared.worker_exited.wait(scheduler);
        }
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.scheduler.lock().stats()
    }

    fn spawn_worker(&self, worker: WorkerKind) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        spawn(shared.name, move || shared.run_worker(worker))
    }

    fn wake_all(&self) {
        self.shared.job_queued.notify_all();
        self.shared.high_job_queued.notify_all();
    }
}

impl<J> Shared<J> {
    /// What a worker does from its first to its last moment.
    fn run_worker(&self, worker: WorkerKind) {
        let queued = match worker {
            WorkerKind::Ordinary => &self.job_queued,
            WorkerKind::Priority => &self.high_job_queued,
        };
        let mut scheduler = self.scheduler.lock();
        loop {
            scheduler = match scheduler.next_action(worker) {
                WorkerAction::Run(job) => {
                    drop(scheduler);
                    // The panic has been reported by its hook; it concerns nobody but the job.
                    let _ = catch_unwind(AssertUnwindSafe(|| (self.run)(job)));
                    let mut scheduler = self.scheduler.lock();
                    scheduler.job_finished(worker);
                    scheduler
                }
                WorkerAction::Wait => queued.wait(scheduler),
                WorkerAction::Exit => break,
            };
        }
        drop(scheduler);
        self.worker_exited.notify_all();
    }
}

impl<J: Send + 'static> Drop for WorkerPool<J> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<J: Send + 'static> fmt::Debug for WorkerPool<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("name", &self.shared.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
