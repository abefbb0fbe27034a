//! The timers of the floor: a heap with four children per node, and one-shot callbacks.

use crate::section::now;
use std::time::Duration;

const CHILDREN: usize = 4;

/// Position of a timer that is not armed.
const NOT_ARMED: u32 = u32::MAX;

/// Number of a timer in the list of timers.
pub(crate) type TimerNumber = u32;

type Callback = Box<dyn FnMut() + Send>;

/// All timers of a loop. The clock is read once per turn.
pub(crate) struct Timers {
    heap: Vec<Armed>,
    timers: Vec<Timer>,
    free: Vec<TimerNumber>,
    now: u64,
}

#[derive(Clone, Copy)]
struct Armed {
    /// Nanoseconds of the monotonic clock.
    deadline: u64,
    number: TimerNumber,
}

struct Timer {
    /// Index in the heap.
    position: u32,
    callback: Option<Callback>,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers {
            heap: Vec::new(),
            timers: Vec::new(),
            free: Vec::new(),
            now: now(),
        }
    }

    pub(crate) fn add(&mut self, after: Duration, callback: Callback) -> TimerNumber {
        let timer = Timer {
            position: NOT_ARMED,
            callback: Some(callback),
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.timers[number as usize] = timer;
                number
            }
            None => {
                self.timers.push(timer);
                (self.timers.len() - 1) as TimerNumber
            }
        };
        self.restart(number, after);
        number
    }

    pub(crate) fn restart(&mut self, number: TimerNumber, after: Duration) {
        let deadline = self.now + after.as_nanos() as u64;
        let armed = Armed { deadline, number };
        match self.timers[number as usize].position {
            NOT_ARMED => {
                self.heap.push(armed);
                self.move_up(self.heap.len() - 1, armed);
            }
            position => self.place(position as usize, armed),
        }
    }

    pub(crate) fn remove(&mut self, number: TimerNumber) {
        self.disarm(number);
        self.timers[number as usize].callback = None;
        self.free.push(number);
    }

    /// Reads the clock.
    pub(crate) fn update_now(&mut self) {
        self.now = now();
    }

    /// Returns the time until the first deadline.
    pub(crate) fn until_first(&self) -> Option<Duration> {
        let first = self.heap.first()?;
        Some(Duration::from_nanos(first.deadline.saturating_sub(now())))
    }

    /// Disarms the first timer if it is due, and returns its number and its callback, which the caller returns after
    /// the call.
    pub(crate) fn take_due(&mut self) -> Option<(TimerNumber, Callback)> {
        let first = self
            .heap
            .first()
            .filter(|first| first.deadline <= self.now)?;
        let number = first.number;
        self.disarm(number);
        let callback = self.timers[number as usize].callback.take()?;
        Some((number, callback))
    }

    pub(crate) fn put_back(&mut self, number: TimerNumber, callback: Callback) {
        self.timers[number as usize].callback = Some(callback);
    }

    fn disarm(&mut self, number: TimerNumber) {
        let timer = &mut self.timers[number as usize];
        let position = std::mem::replace(&mut timer.position, NOT_ARMED) as usize;
        if position == NOT_ARMED as usize {
            return;
        }
        let Some(last) = self.heap.pop() else { return };
        if position < self.heap.len() {
            self.place(position, last);
        }
    }

    /// Puts a timer at a position, or where its deadline belongs.
    fn place(&mut self, position: usize, armed: Armed) {
        let parent = position.saturating_sub(1) / CHILDREN;
        if armed.deadline < self.heap[parent].deadline {
            self.move_up(position, armed);
        } else {
            self.move_down(position, armed);
        }
    }

    fn move_up(&mut self, mut position: usize, armed: Armed) {
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if self.heap[parent].deadline <= armed.deadline {
                break;
            }
            self.put(position, self.heap[parent]);
            position = parent;
        }
        self.put(position, armed);
    }

    fn move_down(&mut self, mut position: usize, armed: Armed) {
        loop {
            let first = position * CHILDREN + 1;
            let last = (first + CHILDREN).min(self.heap.len());
            let children = first..last;
            let least = children.min_by_key(|&child| self.heap[child].deadline);
            let Some(least) = least.filter(|&least| self.heap[least].deadline < armed.deadline)
            else {
                break;
            };
            self.put(position, self.heap[least]);
            position = least;
        }
        self.put(position, armed);
    }

    fn put(&mut self, position: usize, armed: Armed) {
        self.heap[position] = armed;
        self.timers[armed.number as usize].position = position as u32;
    }
}
