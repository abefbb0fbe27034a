//! Tests of the scheduler, and of jobs on real threads.

use super::*;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};

fn workers(min: usize, max: usize, priority: usize) -> WorkerLimits {
    WorkerLimits {
        min,
        max: NonZeroUsize::new(max).unwrap(),
        priority,
    }
}

/// Returns a scheduler with its minimum of workers started.
fn scheduler(limits: WorkerLimits) -> Scheduler<u32> {
    let mut scheduler = Scheduler::new(limits);
    start_all(&mut scheduler);
    scheduler
}

fn start_all(scheduler: &mut Scheduler<u32>) -> Vec<WorkerKind> {
    std::iter::from_fn(|| scheduler.reserve_worker()).collect()
}

/// Queues jobs without running any.
fn burst(scheduler: &mut Scheduler<u32>, jobs: u32) {
    for job in 0..jobs {
        scheduler.enqueue(JobPriority::Normal, job).unwrap();
        start_all(scheduler);
    }
}

#[test]
fn burst_of_20_jobs_starts_20_workers() {
    let mut scheduler = scheduler(workers(5, 20, 5));
    assert_eq!(
        (
            scheduler.stats().workers,
            scheduler.stats().priority_workers
        ),
        (5, 5)
    );
    burst(&mut scheduler, 5);
    assert_eq!(scheduler.stats().workers, 5, "the free workers suffice");
    burst(&mut scheduler, 15);
    assert_eq!(scheduler.stats().workers, 20);
    burst(&mut scheduler, 1);
    assert_eq!(scheduler.stats().workers, 20, "the maximum is reached");
}

/// The pool of libvirt starts a worker only while free workers and queued jobs are equal in number,
/// and after an overload it never grows again.
#[test]
fn limit_raised_after_overload_starts_more_workers() {
    let mut scheduler = scheduler(workers(0, 2, 0));
    burst(&mut scheduler, 10);
    assert_eq!(scheduler.stats().workers, 2);
    scheduler.set_limits(workers(0, 20, 0));
    start_all(&mut scheduler);
    assert_eq!(scheduler.stats().workers, 10);
    burst(&mut scheduler, 1);
    assert_eq!(scheduler.stats().workers, 11);
}

#[test]
fn failed_start_is_tried_again_with_the_next_job() {
    let mut scheduler = Scheduler::new(workers(0, 2, 0));
    scheduler.enqueue(JobPriority::Normal, 1).unwrap();
    assert_eq!(scheduler.reserve_worker(), Some(WorkerKind::Ordinary));
    scheduler.release_worker(WorkerKind::Ordinary);
    assert_eq!(scheduler.withdraw(JobPriority::Normal), Some(1));
    scheduler.enqueue(JobPriority::Normal, 2).unwrap();
    assert_eq!(scheduler.reserve_worker(), Some(WorkerKind::Ordinary));
    assert_eq!(
        scheduler.withdraw(JobPriority::Normal),
        None,
        "an ordinary worker is reserved"
    );
}

/// DM-702: the worker is above the limit, but no other worker could run the job.
#[test]
fn surplus_worker_runs_queued_job_if_it_is_the_last() {
    let mut scheduler = Scheduler::new(workers(0, 1, 1));
    assert_eq!(scheduler.reserve_worker(), Some(WorkerKind::Priority));
    scheduler.enqueue(JobPriority::High, 7).unwrap();
    assert_eq!(scheduler.reserve_worker(), Some(WorkerKind::Ordinary));
    scheduler.release_worker(WorkerKind::Ordinary);
    assert_eq!(scheduler.withdraw(JobPriority::High), None);
    scheduler.set_limits(workers(0, 1, 0));
    assert_eq!(scheduler.reserve_worker(), Some(WorkerKind::Ordinary));
    scheduler.release_worker(WorkerKind::Ordinary);
    assert_eq!(
        scheduler.next_action(WorkerKind::Priority),
        WorkerAction::Run(7)
    );
    scheduler.job_finished(WorkerKind::Priority);
    assert_eq!(
        scheduler.next_action(WorkerKind::Priority),
        WorkerAction::Exit
    );
}

#[test]
fn workers_take_oldest_job_priority_workers_only_high_ones() {
    let mut scheduler = scheduler(workers(1, 1, 1));
    for (job, priority) in [
        JobPriority::Normal,
        JobPriority::High,
        JobPriority::Normal,
        JobPriority::High,
    ]
    .into_iter()
    .enumerate()
    {
        scheduler
            .enqueue(priority, u32::try_from(job).unwrap())
            .unwrap();
    }
    assert_eq!(
        scheduler.next_action(WorkerKind::Priority),
        WorkerAction::Run(1)
    );
    scheduler.job_finished(WorkerKind::Priority);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Run(0)
    );
    scheduler.job_finished(WorkerKind::Ordinary);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Run(2)
    );
    scheduler.job_finished(WorkerKind::Ordinary);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Run(3)
    );
    assert_eq!(
        scheduler.next_action(WorkerKind::Priority),
        WorkerAction::Wait
    );
}

#[test]
fn high_job_runs_while_ordinary_workers_block() {
    let mut scheduler = scheduler(workers(1, 1, 1));
    burst(&mut scheduler, 3);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Run(0)
    );
    scheduler.enqueue(JobPriority::High, 9).unwrap();
    assert_eq!(
        scheduler.next_action(WorkerKind::Priority),
        WorkerAction::Run(9)
    );
}

#[test]
fn minimum_above_maximum_starts_the_maximum() {
    assert_eq!(scheduler(workers(9, 3, 0)).stats().workers, 3);
}

#[test]
fn lowered_limit_ends_workers_when_idle_or_after_their_job() {
    let mut scheduler = scheduler(workers(3, 3, 2));
    burst(&mut scheduler, 2);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Run(0)
    );
    scheduler.set_limits(workers(1, 1, 0));
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Exit
    );
    scheduler.job_finished(WorkerKind::Ordinary);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Exit
    );
    assert_eq!(
        scheduler.next_action(WorkerKind::Priority),
        WorkerAction::Exit
    );
    assert_eq!(
        scheduler.next_action(WorkerKind::Priority),
        WorkerAction::Exit
    );
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Run(1),
        "one worker is left"
    );
}

#[test]
fn stop_returns_queued_jobs_and_refuses_new_ones() {
    let mut scheduler = scheduler(workers(2, 2, 0));
    burst(&mut scheduler, 3);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Run(0)
    );
    assert_eq!(scheduler.stop(), [1, 2]);
    assert_eq!(scheduler.enqueue(JobPriority::High, 7), Err(7));
    assert_eq!(scheduler.stats().running, 1);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Exit
    );
    scheduler.job_finished(WorkerKind::Ordinary);
    assert_eq!(
        scheduler.next_action(WorkerKind::Ordinary),
        WorkerAction::Exit
    );
    assert_eq!(scheduler.stats(), PoolStats::default());
    assert_eq!(start_all(&mut scheduler), []);
}

/// Receives a message from a job; the timeout keeps a broken pool from blocking the test.
fn receive<T>(from: &Receiver<T>) -> T {
    let timeout = std::time::Duration::from_secs(30);
    from.recv_timeout(timeout).expect("the job reports")
}

/// A job that reports its start and runs until `end` is dropped.
#[derive(Debug)]
struct BlockingJob {
    runs: Sender<()>,
    end: Receiver<()>,
}

impl BlockingJob {
    fn run(self) {
        self.runs.send(()).unwrap();
        // Fails when the test drops the sender.
        let _ = self.end.recv();
    }
}

fn blocking_pool(limits: WorkerLimits) -> WorkerPool<BlockingJob> {
    WorkerPool::new("test", limits, BlockingJob::run)
}

/// Submits jobs that block. They end when the returned senders are dropped.
fn block(pool: &WorkerPool<BlockingJob>, jobs: usize) -> (Receiver<()>, Vec<Sender<()>>) {
    let (runs, running) = channel();
    let ends = (0..jobs).map(|_| {
        let (tell_end, end) = channel();
        let runs = runs.clone();
        pool.submit(JobPriority::Normal, BlockingJob { runs, end })
            .unwrap();
        tell_end
    });
    let ends = ends.collect();
    (running, ends)
}

/// libvirtd runs 6 of the 20 (DM-702).
#[test]
fn burst_of_20_blocking_jobs_runs_in_parallel() {
    let pool = blocking_pool(workers(5, 20, 5));
    let (running, ends) = block(&pool, 20);
    for _ in 0..20 {
        receive(&running);
    }
    assert_eq!(pool.stats().running, 20);
    drop(ends);
    pool.stop();
    pool.join();
}

#[test]
fn set_limits_takes_effect_while_jobs_block() {
    let pool = blocking_pool(workers(1, 1, 0));
    let (running, ends) = block(&pool, 3);
    receive(&running);
    assert_eq!((pool.stats().running, pool.stats().queued), (1, 2));
    pool.set_limits(workers(1, 3, 0)).unwrap();
    receive(&running);
    receive(&running);
    drop(ends);
    pool.set_limits(workers(0, 1, 0)).unwrap();
    // The limit is 1 now: this job runs only after the others have ended.
    let (running, ends) = block(&pool, 1);
    receive(&running);
    assert_eq!(pool.stats().running, 1);
    drop(ends);
    pool.stop();
    pool.join();
    assert_eq!(pool.stats(), PoolStats::default());
}

/// A driver that never blocks needs no workers, even if the configuration is reloaded.
#[test]
fn set_limits_before_first_job_starts_no_worker() {
    let pool = WorkerPool::new("test", workers(1, 1, 0), |_: u32| {});
    pool.set_limits(workers(5, 20, 5)).unwrap();
    assert_eq!(pool.stats(), PoolStats::default());
    pool.start().unwrap();
    assert_eq!(pool.stats().workers, 5);
    pool.set_limits(workers(6, 20, 5)).unwrap();
    assert_eq!(pool.stats().workers, 6);
    pool.stop();
    pool.join();
}

#[test]
fn worker_runs_next_job_after_a_panic() {
    let (done, results) = channel();
    let pool = WorkerPool::new("test", workers(1, 1, 0), move |job: Option<u32>| {
        done.send(job.expect("this panic is part of the test"))
            .unwrap();
    });
    pool.submit(JobPriority::Normal, None).unwrap();
    pool.submit(JobPriority::Normal, Some(7)).unwrap();
    assert_eq!(receive(&results), 7);
    pool.stop();
    pool.join();
}

#[test]
fn submit_after_stop_returns_the_job() {
    let pool = WorkerPool::new("test", WorkerLimits::default(), |_: u32| {});
    pool.stop();
    let refused = pool.submit(JobPriority::Normal, 5);
    assert!(matches!(refused, Err(SubmitError::Stopped(5))));
    pool.join();
}
