//! A pool of threads for jobs that may block (DM-701 to DM-706).
//!
//! [`Scheduler`] makes every decision and has no thread. This module adds the lock around the
//! scheduler, the sleep of the workers and their threads. Jobs run and are dropped without the
//! lock.

mod scheduler;
#[cfg(test)]
mod tests;

pub use scheduler::{
    JobPriority, PoolStats, Scheduler, SubmitError, WorkerAction, WorkerKind, WorkerLimits,
};

use crate::sync::{Arc, Condvar, Mutex, spawn};
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
/// let run = move |job: u32| done.send(job * 2).unwrap();
/// let pool = WorkerPool::new("worker", WorkerLimits::default(), run);
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
    /// Notified for every job.
    job_queued: Condvar,
    /// Notified for high-priority jobs only.
    high_job_queued: Condvar,
    /// Notified when a worker has ended.
    worker_exited: Condvar,
}

impl<J: Send + 'static> WorkerPool<J> {
    /// Creates a pool whose workers call `run` with each job, on threads named `name`. The workers
    /// start with the first job or with [`start`](Self::start).
    ///
    /// A panic in `run` ends that job only; the worker takes the next one.
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

    /// Starts the minimum number of workers.
    ///
    /// # Errors
    /// The error of the operating system if it cannot create a thread. The workers started before
    /// that error stay.
    pub fn start(&self) -> io::Result<()> {
        self.shared
            .scheduler
            .lock()
            .start_workers(|worker| self.spawn_worker(worker))
    }

    /// Queues a job, and starts a worker if all are busy and the maximum is not reached.
    ///
    /// # Errors
    /// [`SubmitError`] with the job. If a new worker cannot be started but others exist, the job
    /// waits for one of them and the call succeeds.
    pub fn submit(&self, priority: JobPriority, job: J) -> Result<(), SubmitError<J>> {
        // The lock is held until the workers are started: no worker may take a job that has to be
        // withdrawn.
        let mut scheduler = self.shared.scheduler.lock();
        scheduler.submit(priority, job, |worker| self.spawn_worker(worker))?;
        drop(scheduler);
        self.shared.job_queued.notify_one();
        if priority == JobPriority::High {
            self.shared.high_job_queued.notify_one();
        }
        Ok(())
    }

    /// Changes the limits. A pool that has never started a worker starts none here.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn set_limits(&self, workers: WorkerLimits) -> io::Result<()> {
        let mut scheduler = self.shared.scheduler.lock();
        scheduler.set_limits(workers);
        let started = if scheduler.has_started() {
            scheduler.start_workers(|worker| self.spawn_worker(worker))
        } else {
            Ok(())
        };
        drop(scheduler);
        self.wake_all();
        started
    }

    /// Refuses new jobs, drops the queued ones, and lets the workers end after their current job
    /// (DM-706).
    pub fn stop(&self) {
        let waiting = self.shared.scheduler.lock().stop();
        self.wake_all();
        drop(waiting);
    }

    /// Waits until all workers have ended. Call [`stop`](Self::stop) first: the workers of a
    /// running pool never end. A job that calls this waits for itself.
    pub fn join(&self) {
        let mut scheduler = self.shared.scheduler.lock();
        while scheduler.stats().workers + scheduler.stats().priority_workers > 0 {
            scheduler = self.shared.worker_exited.wait(scheduler);
        }
    }

    /// Returns the numbers of workers and jobs.
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
    /// Runs jobs until the scheduler lets this worker end.
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
                    // The panic hook has reported the panic.
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
            .field("limits", &self.shared.scheduler.lock().limits())
            .finish_non_exhaustive()
    }
}
