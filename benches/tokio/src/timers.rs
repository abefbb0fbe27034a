//! W4: additions, updates, removals and expiry of many timers. A timer is armed by its first poll.

use crate::section::Section;
use crate::{Figures, Random};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use tokio::task::{LocalSet, yield_now};
use tokio::time::{Instant, Sleep, sleep};

const HOUR: u64 = 3_600_000;

/// Longest interval of the timers that expire, in milliseconds.
const EXPIRES_WITHIN: u64 = 100;

pub(crate) type Timer = Pin<Box<Sleep>>;

pub(crate) fn add(after: Duration) -> Timer {
    let mut timer = Box::pin(sleep(after));
    let mut context = Context::from_waker(Waker::noop());
    let polled = timer.as_mut().poll(&mut context);
    assert!(polled.is_pending(), "a timer expired at once");
    timer
}

pub(crate) async fn change(count: u64) -> Figures {
    let mut random = Random::new();
    let order = random_order(count, &mut random);
    let mut timers = Vec::with_capacity(order.len());
    let mut after = || Duration::from_millis(HOUR + random.below(HOUR));

    let section = Section::begin(Duration::ZERO);
    for _ in 0..count {
        timers.push(Some(add(after())));
    }
    let added = section.cpu_per(count);
    yield_now().await;

    let section = Section::begin(Duration::ZERO);
    for &index in &order {
        restart(timers[index as usize].as_mut().unwrap(), after());
    }
    let update = section.cpu_per(count);
    yield_now().await;

    let section = Section::begin(Duration::ZERO);
    for &index in &order {
        timers[index as usize] = None;
    }
    let remove = section.cpu_per(count);
    vec![("add", added), ("update", update), ("remove", remove)]
}

pub(crate) async fn push(count: u64) -> Figures {
    let order = random_order(count, &mut Random::new());
    let interval = Duration::from_millis(HOUR);
    let mut timers: Vec<_> = (0..count).map(|_| add(interval)).collect();
    yield_now().await;
    let section = Section::begin(Duration::ZERO);
    for &index in &order {
        restart(&mut timers[index as usize], interval);
    }
    vec![("push", section.cpu_per(count))]
}

/// Lets timers expire that are all due, each in a task.
pub(crate) async fn expire(count: u64) -> Figures {
    let mut random = Random::new();
    let expired = Rc::new(Cell::new(0));
    let tasks = LocalSet::new();
    let figures = tasks.run_until(async {
        for _ in 0..count {
            let after = Duration::from_millis(1 + random.below(EXPIRES_WITHIN));
            let (timer, expired) = (sleep(after), Rc::clone(&expired));
            tokio::task::spawn_local(async move {
                timer.await;
                expired.set(expired.get() + 1);
            });
        }
        yield_now().await;
        thread::sleep(Duration::from_millis(EXPIRES_WITHIN + 20));
        let section = Section::begin(Duration::ZERO);
        while expired.get() < count {
            yield_now().await;
        }
        vec![("expire", section.cpu_per(count))]
    });
    figures.await
}

fn restart(timer: &mut Timer, after: Duration) {
    timer.as_mut().reset(Instant::now() + after);
}

fn random_order(count: u64, random: &mut Random) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}
