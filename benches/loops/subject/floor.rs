//! The floor: `epoll_wait`, a direct call of the callback, and a heap of timers, without lock and without checks.

use super::Subject;
use super::heap::{TimerNumber, Timers};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Number of events that one wait returns at most.
pub(super) const EVENTS: usize = 1_024;

pub(crate) struct Floor {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    /// Handles by number, which is the data of their events.
    handles: Vec<Option<Handle>>,
    free: Vec<u32>,
    timers: RefCell<Timers>,
}

struct Handle {
    source: Source,
    callback: Callback,
}

type Callback = Box<dyn FnMut(&RefCell<Timers>) + Send>;

enum Source {
    Owned(OwnedFd),
    Shared(Arc<OwnedFd>),
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Owned(fd) => fd.as_fd(),
            Source::Shared(fd) => fd.as_fd(),
        }
    }
}

impl Floor {
    fn insert<F>(&mut self, source: Source, callback: F) -> u32
    where
        F: FnMut(&RefCell<Timers>) + Send + 'static,
    {
        let number = self.free.pop().unwrap_or_else(|| {
            self.handles.push(None);
            (self.handles.len() - 1) as u32
        });
        let data = EventData::new_u64(u64::from(number));
        epoll::add(&self.epoll, &source, data, EventFlags::IN).unwrap();
        let callback = Box::new(callback);
        self.handles[number as usize] = Some(Handle { source, callback });
        number
    }
}

impl Subject for Floor {
    type Handle = u32;
    type Timer = TimerNumber;
    type Inside = RefCell<Timers>;

    fn new() -> Floor {
        Floor {
            epoll: epoll::create(CreateFlags::CLOEXEC).unwrap(),
            events: Vec::with_capacity(EVENTS),
            handles: Vec::new(),
            free: Vec::new(),
            timers: RefCell::new(Timers::new()),
        }
    }

    fn add<F>(&mut self, source: OwnedFd, callback: F) -> u32
    where
        F: FnMut(&RefCell<Timers>) + Send + 'static,
    {
        self.insert(Source::Owned(source), callback)
    }

    fn add_shared<F>(&mut self, source: &Arc<OwnedFd>, callback: F) -> u32
    where
        F: FnMut(&RefCell<Timers>) + Send + 'static,
    {
        self.insert(Source::Shared(Arc::clone(source)), callback)
    }

    fn update(&mut self, number: &u32, writable: bool) {
        let Some(handle) = &self.handles[*number as usize] else {
            return;
        };
        let mut events = EventFlags::IN;
        events.set(EventFlags::OUT, writable);
        let data = EventData::new_u64(u64::from(*number));
        epoll::modify(&self.epoll, &handle.source, data, events).unwrap();
    }

    fn remove(&mut self, number: u32) {
        if let Some(handle) = self.handles[number as usize].take() {
            epoll::delete(&self.epoll, &handle.source).unwrap();
            self.free.push(number);
        }
    }

    fn turn(&mut self) {
        let until_first = self.timers.get_mut().until_first();
        wait(&self.epoll, &mut self.events, until_first);
        let has_timers = until_first.is_some();
        if has_timers {
            self.timers.get_mut().update_now();
        }
        for event in &self.events {
            let data = event.data;
            if let Some(handle) = &mut self.handles[data.u64() as usize] {
                (handle.callback)(&self.timers);
            }
        }
        if has_timers {
            let timers = self.timers.get_mut();
            while let Some((number, mut callback)) = timers.take_due() {
                callback();
                timers.put_back(number, callback);
            }
        }
    }

    fn add_timer<F>(&mut self, after: Duration, callback: F) -> TimerNumber
    where
        F: FnMut() + Send + 'static,
    {
        self.timers.get_mut().add(after, Box::new(callback))
    }

    fn restart_timer(&mut self, timer: TimerNumber, after: Duration) {
        self.timers.get_mut().restart(timer, after);
    }

    fn restart_inside(inside: &RefCell<Timers>, timer: TimerNumber, after: Duration) {
        inside.borrow_mut().restart(timer, after);
    }

    fn remove_timer(&mut self, timer: TimerNumber) {
        self.timers.get_mut().remove(timer);
    }

    fn waker(&mut self, call: fn()) -> impl Fn() + Send + 'static {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let wake = Arc::new(wake);
        let reader = Arc::clone(&wake);
        self.add_shared(&wake, move |_| {
            rustix::io::read(&reader, &mut [0; 8]).unwrap();
            call();
        });
        move || {
            rustix::io::write(&wake, &1_u64.to_ne_bytes()).unwrap();
        }
    }
}

/// Waits for events; without `timeout`, for any time.
pub(super) fn wait(epoll: &OwnedFd, events: &mut Vec<epoll::Event>, timeout: Option<Duration>) {
    events.clear();
    let timeout = timeout.map(|timeout| Timespec::try_from(timeout).unwrap());
    let room = rustix::buffer::spare_capacity(events);
    epoll::wait(epoll, room, timeout.as_ref()).unwrap();
}
