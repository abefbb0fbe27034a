//! Events that the library sends to `tracing`, always without its lock.

#![cfg(not(loom))]

use eventry::poller::model::{Model, ModelPoller, ModelSource};
use eventry::{EventLoop, Events, Registry, event_impl};
use std::fmt::Debug;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Subscriber that records level and text of each event of the library, and uses the registry for each, which would
/// deadlock if the library held its lock.
struct Captures {
    sender: Sender<(Level, String)>,
    registry: Registry<ModelPoller>,
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else if field.name() != "id" {
            self.0 += &format!(" {field}={value:?}");
        }
    }
}

impl Subscriber for Captures {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "eventry"
    }

    fn event(&self, event: &Event<'_>) {
        let _takes_the_lock = self.registry.is_idle();
        let mut text = Text(String::new());
        event.record(&mut text);
        let _ = self.sender.send((*event.metadata().level(), text.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Returns the events of a loop on the model poller during `run`.
fn events_of(
    run: impl FnOnce(&mut EventLoop<ModelPoller>, &Registry<ModelPoller>, &Model),
) -> Vec<(Level, String)> {
    let (poller, model) = ModelPoller::new();
    let mut event_loop = EventLoop::with_poller(poller);
    let registry = event_loop.registry();
    let (sender, events): (_, Receiver<_>) = channel();
    let captures = Captures {
        sender,
        registry: registry.clone(),
    };
    tracing::subscriber::with_default(captures, || run(&mut event_loop, &registry, &model));
    events.try_iter().collect()
}

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

#[test]
fn turns_additions_and_removals_are_traced() {
    let events = events_of(|event_loop, registry, model| {
        let id = registry
            .add_source(ModelSource(3), Events::READABLE, |_| {})
            .unwrap();
        let interval = Duration::from_millis(5);
        let timeout = registry.add_timeout(interval, |_| {}).unwrap();
        model.set_ready(3, Events::READABLE);
        event_loop.run_once(AT_ONCE).unwrap();
        let _ = registry.remove_handle(id).unwrap();
        registry.remove_timeout_and_wait(timeout).unwrap();
        event_loop.stopper().stop();
    });
    let expected = [
        (Level::DEBUG, "handle added fd=3 interest=READABLE"),
        (Level::DEBUG, "timeout added interval=Some(5ms)"),
        (Level::TRACE, "loop waits timeout=Some(0ns)"),
        (Level::TRACE, "turn ended turns=1 calls=1"),
        (Level::DEBUG, "entry removed removal=Idle"),
        (Level::DEBUG, "entry removed removal=Idle"),
        (Level::DEBUG, "stop requested"),
    ];
    let expected = expected.map(|(level, text)| (level, text.to_owned()));
    assert_eq!(events, expected);
}

#[test]
fn warnings_are_traced_without_a_hook() {
    let events = events_of(|event_loop, registry, model| {
        let slow = model.clone();
        registry
            .add_timeout(Duration::ZERO, move |_| {
                slow.advance(Duration::from_secs(2));
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
    });
    let warnings: Vec<_> = events
        .iter()
        .filter(|(level, _)| *level == Level::WARN)
        .collect();
    let [(_, text)] = &warnings[..] else {
        panic!("{events:?}");
    };
    assert!(text.ends_with("took 2s"), "{text}");
}

#[test]
fn panic_of_a_callback_is_traced() {
    let events = events_of(|event_loop, registry, _| {
        let panics = |_: eventry::TimeoutEvent<'_, _>| -> () { panic!("no time") };
        registry.add_timeout(Duration::ZERO, panics).unwrap();
        assert!(event_loop.run_once(AT_ONCE).is_err());
    });
    let errors: Vec<_> = events
        .iter()
        .filter(|(level, _)| *level == Level::ERROR)
        .collect();
    let [(_, text)] = &errors[..] else {
        panic!("{events:?}");
    };
    assert!(text.ends_with("panicked: no time"), "{text}");
}

// A refused entry was not added, so no event is sent.
#[test]
fn refused_addition_is_not_traced() {
    let events = events_of(|_, registry, _| {
        let refused = registry.add_source(ModelSource(-1), Events::READABLE, |_| {});
        assert!(refused.is_err());
    });
    assert_eq!(events, []);
}

// The thread that wakes a sleeping loop sends the event.
#[test]
fn wake_is_traced() {
    let events = events_of(|event_loop, registry, _| {
        assert_eq!(event_loop.prepare(), None);
        registry.add_timeout(Duration::ZERO, |_| {}).unwrap();
    });
    assert!(
        events.contains(&(Level::TRACE, "loop woken".to_owned())),
        "{events:?}"
    );
}

/// Subscriber that uses the event implementation for each event, which would deadlock if the implementation held the
/// lock of its numbers.
struct UsesTheImpl(Sender<String>);

impl Subscriber for UsesTheImpl {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "eventry"
    }

    fn event(&self, event: &Event<'_>) {
        event_impl::update_timeout(i32::MAX, None);
        let mut text = Text(String::new());
        event.record(&mut text);
        let _ = self.0.send(text.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn event_implementation_traces_without_its_lock() {
    event_impl::register_default_impl().unwrap();
    let (sender, events) = channel();
    tracing::subscriber::with_default(UsesTheImpl(sender), || {
        let (near, _far) = UnixStream::pair().unwrap();
        let handle = event_impl::add_handle(Arc::new(near), Events::READABLE, Box::new(|_, _| {}));
        let timeout = event_impl::add_timeout(None, Box::new(|_| {}));
        let _ = event_impl::remove_handle(handle.unwrap()).unwrap();
        let _ = event_impl::remove_timeout(timeout.unwrap()).unwrap();
    });
    let events: Vec<String> = events.try_iter().collect();
    let prefixes = [
        "handle added",
        "timeout added",
        "entry removed",
        "entry removed",
    ];
    assert_eq!(events.len(), prefixes.len(), "{events:?}");
    for (event, prefix) in events.iter().zip(prefixes) {
        assert!(event.starts_with(prefix), "{event}");
    }
}
