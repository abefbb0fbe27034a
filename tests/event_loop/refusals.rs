//! Registrations that are refused.

use crate::support::{AT_ONCE, R, W, log, model_loop};
use eventry::EventLoop;
use eventry::core::{NotRegistered, Refused};
use eventry::poller::model::ModelSource;
use eventry::registry::{AddErrorKind, UpdateError};
use rustix::fs::{Mode, OFlags, open};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;

// EV-207: the source comes back, the callback is freed once, uncalled, and no trace is left.
#[test]
fn a_refused_registration_gives_everything_back() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R);
    model.refuse_registrations(Some(ErrorKind::PermissionDenied));
    let (called, freed) = (log.clone(), log.on_drop("free"));
    let refused = registry.add_source(ModelSource(3), R, move |_| {
        freed.keep();
        called.note("called");
    });
    let refused = refused.unwrap_err();
    assert_eq!(refused.offered, ModelSource(3));
    assert!(matches!(
        refused.kind,
        AddErrorKind::Poller(error) if error.kind() == ErrorKind::PermissionDenied
    ));
    assert_eq!(heard.take(), ["free"]);

    model.refuse_registrations(None);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(model.registered(), []);
    let called = log.clone();
    registry
        .add_source(ModelSource(3), R, move |_| called.note("the next one"))
        .unwrap();
    event_loop.run_once(AT_ONCE).unwrap();
    drop(event_loop);
    assert_eq!(heard.take(), ["the next one"]);
}

// EV-207, EV-404: the handle that was there keeps what it had.
#[test]
fn a_refusal_leaves_the_other_handles_of_the_descriptor_alone() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R | W);
    registry
        .add_source(ModelSource(3), R, move |event| {
            log.note(format!("{:?}", event.events));
        })
        .unwrap();
    model.refuse_registrations(Some(ErrorKind::OutOfMemory));
    let refused = registry.add_source(ModelSource(3), W, |_| {});
    assert!(refused.is_err());
    model.refuse_registrations(None);
    event_loop.run_once(AT_ONCE).unwrap();
    assert_eq!(heard.take(), ["READABLE"]);
    assert_eq!(model.registered(), [(3, R)]);
}

// EV-207, EV-208, by the kernel: an O_PATH descriptor is answered with EBADF, as a closed one is.
#[test]
fn a_descriptor_that_the_kernel_refuses_comes_back_open() {
    let (log, heard) = log();
    let event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let path = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let fd = path.as_raw_fd();
    let freed = log.on_drop("free");
    let refused = registry.add_handle(path, R, move |_| freed.keep());
    let refused = refused.unwrap_err();
    assert!(matches!(&refused.kind, AddErrorKind::Poller(_)));
    assert_eq!(heard.take(), ["free"]);
    assert_eq!(refused.offered.as_raw_fd(), fd);
    assert!(
        rustix::io::fcntl_getfd(&*refused.offered).is_ok(),
        "it was closed"
    );
}

// EV-208
#[test]
fn a_negative_number_is_not_a_descriptor() {
    let (log, heard) = log();
    let (_event_loop, registry, _model) = model_loop();
    for fd in [-1, i32::MIN] {
        let freed = log.on_drop("free");
        let refused = registry.add_source(ModelSource(fd), R, move |_| freed.keep());
        assert!(matches!(
            refused.unwrap_err().kind,
            AddErrorKind::Refused(Refused::NotADescriptor(number)) if number == fd
        ));
        assert_eq!(heard.take(), ["free"]);
    }
}

// EV-512: an update that the poller refuses changes nothing and can be tried again.
#[test]
fn an_update_that_was_refused_succeeds_when_it_is_repeated() {
    let (log, heard) = log();
    let (mut event_loop, registry, model) = model_loop();
    model.set_ready(3, R | W);
    let id = registry
        .add_source(ModelSource(3), eventry::Events::NONE, move |event| {
            log.note(format!("{:?}", event.events));
        })
        .unwrap();
    for interest in [R, R | W] {
        model.refuse_registrations(Some(ErrorKind::StorageFull));
        let refused = registry.update_handle(id, interest);
        assert!(matches!(refused, Err(UpdateError::Poller(_))));
        model.refuse_registrations(None);
        registry.update_handle(id, interest).unwrap();
        assert_eq!(model.registered(), [(3, interest)]);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(heard.take(), [format!("{interest:?}")]);
    }
}

// EV-205: nothing was ever issued.
#[test]
fn an_empty_table_knows_no_id() {
    let (_event_loop, registry, _model) = model_loop();
    let (_other_loop, other, _model) = model_loop();
    let handle = other.add_source(ModelSource(3), R, |_| {}).unwrap();
    assert_eq!(registry.remove_handle(handle), Err(NotRegistered));
}
