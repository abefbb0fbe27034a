//! The rules of the plan, and jobs on real threads.

use super::*;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};

fn workers(min: usize, max: usize, priority: usize) -> Workers {
    Workers {
        min,
        max: NonZeroUsize::new(max).unwrap(),
        priority,
    }
}

/// A plan whose workers have been started.
fn plan(limits: Workers) -> Plan<u32> {
    let mut plan = Plan::new(limits);
    started(&mut plan);
    plan
}

fn started(plan: &mut Plan<u32>) -> Vec<Worker> {
    std::iter::from_fn(|| plan.start()).collect()
}

/// Submits jobs, none of which is taken meanwhile.
fn burst(plan: &mut Plan<u32>, jobs: u32) {
    for job in 0..jobs {
        plan.submit(Urgency::Normal, job).unwrap();
        started(plan);
    }
}

#[test]
fn a_burst_of_20_has_20_workers_at_once() {
    let mut plan = plan(workers(5, 20, 5));
    assert_eq!(
        (plan.stats().workers, plan.stats().priority_workers),
        (5, 5)
    );
    burst(&mut plan, 5);
    assert_eq!(plan.stats().workers, 5, "as many as are free");
    burst(&mut plan, 15);
    assert_eq!(plan.stats().workers, 20);
    burst(&mut plan, 1);
    assert_eq!(plan.stats().workers, 20, "there are as many as may be");
}

/// The pool of libvirt grows only while as many jobs wait as workers are free, and after an overload never
/// again.
#[test]
fn growth_goes_on_after_an_overload() {
    let mut plan = plan(workers(0, 2, 0));
    burst(&mut plan, 10);
    assert_eq!(plan.stats().workers, 2);
    plan.set_limits(workers(0, 20, 0));
    started(&mut plan);
    assert_eq!(plan.stats().workers, 10);
    burst(&mut plan, 1);
    assert_eq!(plan.stats().workers, 11);
}

#[test]
fn failed_start_is_tried_again_with_the_next_job() {
    let mut plan = Plan::new(workers(0, 2, 0));
    plan.submit(Urgency::Normal, 1).unwrap();
    assert_eq!(plan.start(), Some(Worker::Ordinary));
    plan.not_started(Worker::Ordinary);
    assert_eq!(plan.withdraw(Urgency::Normal), Some(1));
    plan.submit(Urgency::Normal, 2).unwrap();
    assert_eq!(plan.start(), Some(Worker::Ordinary));
    assert_eq!(plan.withdraw(Urgency::Normal), None, "somebody runs it");
}

/// DM-702: it is one too many, but nobody else is there.
#[test]
fn the_last_worker_who_could_run_a_job_does_before_it_ends() {
    let mut plan = Plan::new(workers(0, 1, 1));
    assert_eq!(plan.start(), Some(Worker::Priority));
    plan.submit(Urgency::High, 7).unwrap();
    assert_eq!(plan.start(), Some(Worker::Ordinary));
    plan.not_started(Worker::Ordinary);
    assert_eq!(plan.withdraw(Urgency::High), None);
    plan.set_limits(workers(0, 1, 0));
    assert_eq!(plan.start(), Some(Worker::Ordinary));
    plan.not_started(Worker::Ordinary);
    assert_eq!(plan.next(Worker::Priority), Next::Run(7));
    plan.finished(Worker::Priority);
    assert_eq!(plan.next(Worker::Priority), Next::Exit);
}

#[test]
fn workers_take_oldest_job_priority_workers_only_high_ones() {
    let mut plan = plan(workers(1, 1, 1));
    for (job, urgency) in [
        Urgency::Normal,
        Urgency::High,
        Urgency::Normal,
        Urgency::High,
    ]
    .into_iter()
    .enumerate()
    {
        plan.submit(urgency, u32::try_from(job).unwrap()).unwrap();
    }
    assert_eq!(plan.next(Worker::Priority), Next::Run(1));
    plan.finished(Worker::Priority);
    assert_eq!(plan.next(Worker::Ordinary), Next::Run(0));
    plan.finished(Worker::Ordinary);
    assert_eq!(plan.next(Worker::Ordinary), Next::Run(2));
    plan.finished(Worker::Ordinary);
    assert_eq!(plan.next(Worker::Ordinary), Next::Run(3));
    assert_eq!(plan.next(Worker::Priority), Next::Wait);
}

#[test]
fn a_high_job_never_waits_behind_jobs_that_block() {
    let mut plan = plan(workers(1, 1, 1));
    burst(&mut plan, 3);
    assert_eq!(plan.next(Worker::Ordinary), Next::Run(0));
    plan.submit(Urgency::High, 9).unwrap();
    assert_eq!(plan.next(Worker::Priority), Next::Run(9));
}

#[test]
fn a_minimum_above_the_maximum_is_the_maximum() {
    assert_eq!(plan(workers(9, 3, 0)).stats().workers, 3);
}

#[test]
fn lowered_limit_ends_workers_when_idle_or_after_their_job() {
    let mut plan = plan(workers(3, 3, 2));
    burst(&mut plan, 2);
    assert_eq!(plan.next(Worker::Ordinary), Next::Run(0));
    plan.set_limits(workers(1, 1, 0));
    assert_eq!(plan.next(Worker::Ordinary), Next::Exit);
    plan.finished(Worker::Ordinary);
    assert_eq!(plan.next(Worker::Ordinary), Next::Exit);
    assert_eq!(plan.next(Worker::Priority), Next::Exit);
    assert_eq!(plan.next(Worker::Priority), Next::Exit);
    assert_eq!(plan.next(Worker::Ordinary), Next::Run(1), "one is left");
}

#[test]
fn stop_returns_queued_jobs_and_refuses_new_ones() {
    let mut plan = plan(workers(2, 2, 0));
    burst(&mut plan, 3);
    assert_eq!(plan.next(Worker::Ordinary), Next::Run(0));
    assert_eq!(plan.stop(), [1, 2]);
    assert_eq!(plan.submit(Urgency::High, 7), Err(7));
    assert_eq!(plan.stats().running, 1);
    assert_eq!(plan.next(Worker::Ordinary), Next::Exit);
    plan.finished(Worker::Ordinary);
    assert_eq!(plan.next(Worker::Ordinary), Next::Exit);
    assert_eq!(plan.stats(), PoolStats::default());
    assert_eq!(started(&mut plan), []);
}

/// What is sent by a job; a pool that is broken does not hang the test for ever.
fn heard<T>(from: &Receiver<T>) -> T {
    let patience = std::time::Duration::from_secs(30);
    from.recv_timeout(patience).expect("a job runs")
}

/// A job that says that it runs, and runs until it is told to end.
#[derive(Debug)]
struct Blocking {
    runs: Sender<()>,
    end: Receiver<()>,
}

impl Blocking {
    fn run(self) {
        self.runs.send(()).unwrap();
        // The test ends it by dropping the other end.
        let _ = self.end.recv();
    }
}

fn blocking_pool(limits: Workers) -> Pool<Blocking> {
    Pool::new("test", limits, Blocking::run)
}

/// Submits blocking jobs; they end when what is returned is dropped.
fn block(pool: &Pool<Blocking>, jobs: usize) -> (Receiver<()>, Vec<Sender<()>>) {
    let (runs, running) = channel();
    let ends = (0..jobs).map(|_| {
        let (tell_end, end) = channel();
        let runs = runs.clone();
        pool.submit(Urgency::Normal, Blocking { runs, end })
            .unwrap();
        tell_end
    });
    let ends = ends.collect();
    (running, ends)
}

/// libvirtd's own pool runs 6 of them (DM-702).
#[test]
fn twenty_blocking_jobs_in_a_burst_run_at_the_same_time() {
    let pool = blocking_pool(workers(5, 20, 5));
    let (running, ends) = block(&pool, 20);
    for _ in 0..20 {
        heard(&running);
    }
    assert_eq!(pool.stats().running, 20);
    drop(ends);
    pool.stop();
    pool.wait();
}

#[test]
fn the_limits_can_be_changed_while_jobs_block() {
    let pool = blocking_pool(workers(1, 1, 0));
    let (running, ends) = block(&pool, 3);
    heard(&running);
    assert_eq!((pool.stats().running, pool.stats().queued), (1, 2));
    pool.set_workers(workers(1, 3, 0)).unwrap();
    heard(&running);
    heard(&running);
    drop(ends);
    pool.set_workers(workers(0, 1, 0)).unwrap();
    // Only an end of the others leaves one, and it waits for the last of them.
    let (running, ends) = block(&pool, 1);
    heard(&running);
    assert_eq!(pool.stats().running, 1);
    drop(ends);
    pool.stop();
    pool.wait();
    assert_eq!(pool.stats(), PoolStats::default());
}

/// A driver that does not block has no use for them, however often its configuration is read again.
#[test]
fn a_pool_without_a_job_has_no_workers_whatever_is_changed() {
    let pool = Pool::new("test", workers(1, 1, 0), |_: u32| {});
    pool.set_workers(workers(5, 20, 5)).unwrap();
    assert_eq!(pool.stats(), PoolStats::default());
    pool.start().unwrap();
    assert_eq!(pool.stats().workers, 5);
    pool.set_workers(workers(6, 20, 5)).unwrap();
    assert_eq!(pool.stats().workers, 6);
    pool.stop();
    pool.wait();
}

#[test]
fn a_job_that_panics_leaves_its_worker_to_the_next() {
    let (done, results) = channel();
    let pool = Pool::new("test", workers(1, 1, 0), move |job: Option<u32>| {
        done.send(job.expect("this panic is the test's")).unwrap();
    });
    pool.submit(Urgency::Normal, None).unwrap();
    pool.submit(Urgency::Normal, Some(7)).unwrap();
    assert_eq!(heard(&results), 7);
    pool.stop();
    pool.wait();
}

#[test]
fn a_stopped_pool_gives_jobs_back() {
    let pool = Pool::new("test", Workers::default(), |_: u32| {});
    pool.stop();
    let refused = pool.submit(Urgency::Normal, 5);
    assert!(matches!(refused, Err(Rejected::Stopped(5))));
    pool.wait();
}
