//! The start of a daemon, in the order of libvirt's, and its end.

use super::gate::Gate;
use super::hub::{Hub, load_tls};
use super::service::Terms;
use super::shutdown::Shutdown;
use super::signals::Process;
use super::{Config, Control, DaemonError};
use crate::driver::Driver;
use crate::net::{
    BoundSockets, ListenAddress, Listener, NetError, PidFile, SocketRole, TransportKind,
    UnixListener, activation_roles, group_id, take_activated_listeners,
};
use crate::session::Access;
use eventry::{EventLoop, RunError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A daemon that serves.
#[derive(Debug)]
pub struct Ready {
    /// What it listens on.
    pub endpoints: Vec<Endpoint>,
    /// Stops it.
    pub shutdown: Shutdown,
    /// Changes it.
    pub control: Control,
}

/// A socket that clients may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: ListenAddress,
    /// How it is spoken to.
    pub transport: TransportKind,
    /// What its clients may do.
    pub access: Access,
}

/// Runs a daemon until it is stopped.
///
/// The order is that of libvirt's socket layer (DM-101…105): the sockets exist, and clients may connect,
/// before anybody accepts; the loop runs before the driver is initialised, which may need its events; a
/// socket is accepted on once everything behind it works.
///
/// `initialise_driver` is called on this thread, `on_ready` when all services are enabled.
///
/// # Errors
///
/// [`DaemonError`]; whatever was begun has been ended in order then: the loop is stopped, the sockets and
/// the pid file are gone.
pub fn run<E: Into<Box<dyn Error + Send + Sync>>>(
    config: &Config,
    initialise_driver: impl FnOnce() -> Result<Arc<dyn Driver>, E>,
    on_ready: impl FnOnce(Ready),
) -> Result<(), DaemonError> {
    start(config, None, initialise_driver, on_ready)
}

/// The same for a daemon that is its process: signals stop it, or have it read its configuration again.
///
/// # Errors
///
/// As those of [`run`].
pub fn run_process<E: Into<Box<dyn Error + Send + Sync>>>(
    config: &Config,
    process: Process,
    initialise_driver: impl FnOnce() -> Result<Arc<dyn Driver>, E>,
    on_ready: impl FnOnce(Ready),
) -> Result<(), DaemonError> {
    start(config, Some(process), initialise_driver, on_ready)
}

fn start<E: Into<Box<dyn Error + Send + Sync>>>(
    config: &Config,
    process: Option<Process>,
    initialise_driver: impl FnOnce() -> Result<Arc<dyn Driver>, E>,
    on_ready: impl FnOnce(Ready),
) -> Result<(), DaemonError> {
    check_limits(config)?;
    let config = &for_passed_sockets(config)?;
    let gate = Gate::new(config)?;
    let _instance = initialise(config)?;
    let event_loop = register_event_implementation()?;
    let hub = Hub::new(&event_loop, config, gate);
    let shutdown = Shutdown::new(Arc::clone(&hub));
    let _signals = watch_signals(process, &event_loop, &hub, &shutdown)?;
    create_services(config, &hub)?;
    let loop_thread = start_event_loop(event_loop)?;

    let started = initialise_driver()
        .map_err(|error| DaemonError::Driver(error.into()))
        .and_then(|driver| hub.enable_services(&driver))
        .map(|enabled| {
            if enabled {
                watch_idleness(config, &hub, &shutdown);
                on_ready(Ready {
                    endpoints: hub.endpoints(),
                    shutdown: shutdown.clone(),
                    control: Control::new(Arc::clone(&hub)),
                });
            }
        });
    if started.is_err() {
        shutdown.now();
    }
    let ended = loop_thread.join();
    hub.close_sockets();
    hub.jobs.stop();
    started.and(ended)
}

/// Refuses limits that contradict each other (DM-606).
fn check_limits(config: &Config) -> Result<(), DaemonError> {
    let (all, anonymous) = (config.max_clients.get(), config.max_anonymous_clients);
    if anonymous > all {
        return Err(DaemonError::Config(format!(
            "max_anonymous_clients is {anonymous}, more than the {all} of max_clients; make it smaller, or \
             max_clients larger"
        )));
    }
    Ok(())
}

/// What makes this the only daemon of its kind.
type Instances = (Option<PidFile>, PidFile);

/// Takes the pid file and the run directory for this daemon alone, and as many descriptors as there may be
/// (DM-108, DM-110).
fn initialise(config: &Config) -> Result<Instances, DaemonError> {
    let pid_file = config.pid_file.as_deref().map(PidFile::acquire);
    let pid_file = pid_file.transpose().map_err(DaemonError::Instance)?;
    config.run_dir.create().map_err(DaemonError::RunDir)?;
    let instance = PidFile::acquire_in(config.run_dir.path()).map_err(|error| match error {
        NetError::AlreadyRunning { .. } => DaemonError::Instance(error),
        other => DaemonError::RunDir(other),
    })?;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    Ok((pid_file, instance))
}

/// The event implementation everything below registers with.
fn register_event_implementation() -> Result<EventLoop, DaemonError> {
    EventLoop::new().map_err(DaemonError::EventLoop)
}

/// Makes the signals of the process events of the loop; they stay its own as long as what is returned lives.
fn watch_signals(
    process: Option<Process>,
    event_loop: &EventLoop,
    hub: &Arc<Hub>,
    shutdown: &Shutdown,
) -> Result<Option<impl Drop + use<>>, DaemonError> {
    let control = Control::new(Arc::clone(hub));
    let watched = process.map(|process| process.watch(&event_loop.registry(), shutdown, control));
    watched.transpose().map_err(DaemonError::Signals)
}

/// Stops the daemon when nobody has used it for a while (DM-1307).
fn watch_idleness(config: &Config, hub: &Hub, shutdown: &Shutdown) {
    let shutdown = shutdown.clone();
    hub.watch_idleness(config.idle_timeout, move || {
        tracing::info!("stopping: there has been no client for as long as the timeout");
        shutdown.request();
    });
}

/// What the names of sockets that systemd passes begin with (DM-403).
fn names_of_daemon(config: &Config) -> &'static [&'static str] {
    match config.prefix.as_str() {
        "libvirt" => &["eventryd", "libvirtd", "virtproxyd"],
        _ => &["eventryd"],
    }
}

/// The configuration with the services on networks whose sockets systemd has passed, and no others: whether
/// there are sockets of our own does not matter then (DM-404, DM-406).
fn for_passed_sockets(config: &Config) -> Result<Config, DaemonError> {
    let mut config = config.clone();
    if config.socket_activation {
        let passed = activation_roles(names_of_daemon(&config)).map_err(DaemonError::Network)?;
        if let Some(passed) = passed {
            let (tcp, tls) = (
                config.tcp.or(config.passed_tcp),
                config.tls.or(config.passed_tls),
            );
            config.tcp = tcp.clone().filter(|_| passed.contains(&SocketRole::Tcp));
            config.tls = tls.clone().filter(|_| passed.contains(&SocketRole::Tls));
            (config.passed_tcp, config.passed_tls) = (tcp, tls);
        }
    }
    Ok(config)
}

/// Makes the services, whose sockets clients may connect to from here on, and wait (DM-104). With sockets that
/// systemd has passed, there are no others (DM-404).
fn create_services(config: &Config, hub: &Hub) -> Result<(), DaemonError> {
    let passed = if config.socket_activation {
        let listeners =
            take_activated_listeners(names_of_daemon(config), config.max_queued_clients);
        listeners.map_err(DaemonError::Network)?
    } else {
        None
    };
    let mut listeners = match passed {
        Some(passed) => passed,
        None => own_listeners(config)?,
    };
    let full = Access::ReadWrite;
    for (purpose, access, auth) in [
        (SocketRole::ReadWrite, full, Some(config.auth_unix_rw)),
        (
            SocketRole::ReadOnly,
            Access::ReadOnly,
            Some(config.auth_unix_ro),
        ),
        (
            SocketRole::Tcp,
            full,
            config.tcp.as_ref().map(|tcp| tcp.auth),
        ),
        (
            SocketRole::Tls,
            full,
            config.tls.as_ref().map(|tls| tls.auth),
        ),
    ] {
        let (of_service, others): (Vec<_>, Vec<_>) =
            listeners.into_iter().partition(|(of, _)| *of == purpose);
        listeners = others;
        let of_service: Vec<Listener> = of_service
            .into_iter()
            .map(|(_, listener)| listener)
            .collect();
        if of_service.is_empty() {
            continue;
        }
        // A socket was passed whose clients cannot be treated as the configuration says.
        let auth = auth.ok_or(DaemonError::NotConfigured(purpose))?;
        let tls = config.tls.as_ref().filter(|_| purpose == SocketRole::Tls);
        let tls = tls.map(|tls| load_tls(&tls.settings())).transpose();
        let tls = tls.map_err(DaemonError::Tls)?;
        hub.add_service(of_service, Terms { access, auth }, tls);
    }
    Ok(())
}

/// Makes the sockets of the configuration, with their names and modes.
fn own_listeners(config: &Config) -> Result<Vec<(SocketRole, Listener)>, DaemonError> {
    let group = config.socket_group.as_deref().map(group_id);
    let group = group.transpose().map_err(DaemonError::Network)?;
    let backlog = config.max_queued_clients;
    let mut listeners = Vec::new();
    let read_only = config.read_only_socket_path();
    for (purpose, path, mode) in [
        (SocketRole::ReadWrite, config.socket_path(), config.rw_mode),
        (SocketRole::ReadOnly, read_only, config.ro_mode),
    ] {
        let socket = UnixListener::bind_with_group(group, &path, mode, backlog);
        let socket = socket.map_err(DaemonError::Network)?;
        listeners.push((purpose, Listener::Unix(socket)));
    }
    if let Some(tcp) = &config.tcp {
        let bound = listen(config, tcp.address.as_deref(), &tcp.port)?;
        listeners.extend(
            bound
                .into_iter()
                .map(|listener| (SocketRole::Tcp, listener)),
        );
    }
    if let Some(tls) = &config.tls {
        let bound = listen(config, tls.address.as_deref(), &tls.port)?;
        listeners.extend(
            bound
                .into_iter()
                .map(|listener| (SocketRole::Tls, listener)),
        );
    }
    Ok(listeners)
}

/// Listens on a network, and says which addresses it could not have (DM-303).
fn listen(config: &Config, host: Option<&str>, port: &str) -> Result<Vec<Listener>, DaemonError> {
    let bound =
        BoundSockets::bind(host, port, config.max_queued_clients).map_err(DaemonError::Network)?;
    for (address, error) in bound.skipped {
        tracing::warn!("not listening on {address}: {error}");
    }
    Ok(bound.sockets.into_iter().map(Listener::Tcp).collect())
}

/// The thread of the event loop.
struct LoopThread(JoinHandle<Result<(), RunError>>);

fn start_event_loop(mut event_loop: EventLoop) -> Result<LoopThread, DaemonError> {
    event_loop.set_on_warning(|warning| tracing::warn!("{warning}"));
    let run = move || {
        loop {
            match event_loop.run() {
                // Its handle or timeout is gone; everybody else's is served.
                Err(RunError::CallbackPanicked(panics)) => {
                    for panic in panics {
                        tracing::error!("{} panicked: {}", panic.callback, panic.message);
                    }
                }
                ended => return ended,
            }
        }
    };
    thread::Builder::new()
        .name("event-loop".to_owned())
        .spawn(run)
        .map(LoopThread)
        .map_err(DaemonError::EventLoop)
}

impl LoopThread {
    /// Waits until the loop has been stopped.
    fn join(self) -> Result<(), DaemonError> {
        match self.0.join() {
            Ok(ended) => ended.map_err(DaemonError::Loop),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
