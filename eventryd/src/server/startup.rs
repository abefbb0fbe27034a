//! The start of a daemon, in the order of libvirt's daemons, and its end.

use super::authenticator::{Authenticator, check_schemes};
use super::config::Config;
use super::control::Control;
use super::credentials::Credentials;
use super::error::DaemonError;
use super::limits::{check_descriptors, check_limits};
use super::service::{Endpoint, ServicePolicy};
use super::shutdown::Shutdown;
use super::signals::ProcessHooks;
use super::state::Server;
use crate::driver::Driver;
use crate::net::tls::TlsContext;
use crate::net::{
    BoundSockets, Listener, NetError, PidFile, SocketRole, UnixListener, activation_roles,
    group_id, take_activated_listeners,
};
use crate::session::Access;
use eventry::{CallbackPanic, EventLoop, PanicPolicy, RunError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A running daemon.
#[derive(Debug)]
pub struct Ready {
    /// The listening sockets.
    pub endpoints: Vec<Endpoint>,
    /// The handle that stops the daemon.
    pub shutdown: Shutdown,
    /// The handle that changes the daemon.
    pub control: Control,
}

/// Runs a daemon until it is stopped.
///
/// The order is that of libvirt's socket layer (DM-101…105). The sockets exist before any connection is accepted, so
/// that clients may connect early. The loop runs before the driver is initialised, which may need its events. A
/// service accepts connections after all parts that it needs are ready.
///
/// `initialise_driver` and then `on_ready` are called on this thread, the latter when all services are enabled. If the
/// daemon is stopped before that, `on_ready` is not called.
///
/// ```
/// use eventryd::driver::{Driver, MemoryDriver};
/// use eventryd::net::RunDir;
/// use eventryd::server::{self, Config};
/// use std::convert::Infallible;
/// use std::os::unix::net::UnixStream;
/// use std::sync::Arc;
///
/// let dir = tempfile::tempdir()?;
/// let config = Config::new(RunDir::Chosen(dir.path().into()));
/// let create_driver = || Ok::<Arc<dyn Driver>, Infallible>(Arc::new(MemoryDriver::new()));
/// server::run(&config, create_driver, |ready| {
///     // The daemon serves clients until it is stopped, here at once.
///     UnixStream::connect(config.socket_path()).expect("the socket is listening");
///     ready.shutdown.request();
/// })?;
/// assert!(!config.socket_path().exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`DaemonError`]. The loop is stopped then, and the sockets and the pid file are removed.
pub fn run<E: Into<Box<dyn Error + Send + Sync>>>(
    config: &Config,
    initialise_driver: impl FnOnce() -> Result<Arc<dyn Driver>, E>,
    on_ready: impl FnOnce(Ready),
) -> Result<(), DaemonError> {
    start(config, None, None, initialise_driver, on_ready)
}

/// Runs a daemon that handles the signals of the process, which stop it or reload its configuration.
///
/// `credentials` are those that [`check`](super::check) has loaded for the same configuration.
///
/// # Errors
///
/// The errors of [`run`].
pub fn run_process<E: Into<Box<dyn Error + Send + Sync>>>(
    config: &Config,
    credentials: Credentials,
    process: ProcessHooks,
    initialise_driver: impl FnOnce() -> Result<Arc<dyn Driver>, E>,
    on_ready: impl FnOnce(Ready),
) -> Result<(), DaemonError> {
    start(
        config,
        Some(credentials),
        Some(process),
        initialise_driver,
        on_ready,
    )
}

fn start<E: Into<Box<dyn Error + Send + Sync>>>(
    config: &Config,
    credentials: Option<Credentials>,
    process: Option<ProcessHooks>,
    initialise_driver: impl FnOnce() -> Result<Arc<dyn Driver>, E>,
    on_ready: impl FnOnce(Ready),
) -> Result<(), DaemonError> {
    check_limits(config)?;
    let config = &for_passed_sockets(config)?;
    if let Some(error) = check_schemes(config).into_iter().next() {
        return Err(error);
    }
    let credentials = credentials.map_or_else(|| load_credentials(config), Ok)?;
    credentials.log_warnings();
    let Credentials { users, tls, .. } = credentials;
    let authenticator = Authenticator::new(config, users);
    let _instance = initialise(config)?;
    let event_loop = register_event_implementation()?;
    let server = Server::new(&event_loop, config, authenticator);
    let shutdown = Shutdown::new(Arc::clone(&server));
    let _signals = watch_signals(process, &event_loop, &server, &shutdown)?;
    create_services(config, tls, &server)?;
    let loop_thread = start_event_loop(event_loop)?;

    let started = initialise_driver()
        .map_err(|error| DaemonError::Driver(error.into()))
        .and_then(|driver| server.enable_services(&driver))
        .map(|enabled| {
            if enabled {
                watch_idleness(config, &server, &shutdown);
                on_ready(Ready {
                    endpoints: server.endpoints(),
                    shutdown: shutdown.clone(),
                    control: Control::new(Arc::clone(&server)),
                });
            }
        });
    if started.is_err() {
        shutdown.now();
    }
    let ended = loop_thread.join();
    server.end();
    started.and(ended)
}

/// Loads users, keys and certificates, if no check has loaded them.
fn load_credentials(config: &Config) -> Result<Credentials, DaemonError> {
    let (credentials, errors) = Credentials::load(config);
    errors.into_iter().next().map_or(Ok(credentials), Err)
}

/// The locks that make this the only daemon in its run directory.
type Instances = (Option<PidFile>, PidFile);

/// Locks the pid file and the run directory, and raises the limit of descriptors to its maximum (DM-108, DM-110).
fn initialise(config: &Config) -> Result<Instances, DaemonError> {
    let pid_file = config.pid_file.as_deref().map(PidFile::acquire);
    let pid_file = pid_file.transpose().map_err(DaemonError::PidFile)?;
    config.run_dir.create().map_err(DaemonError::RunDir)?;
    let instance = PidFile::acquire_in(config.run_dir.path()).map_err(|error| match error {
        NetError::AlreadyRunning { .. } => DaemonError::PidFile(error),
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
    check_descriptors()?;
    Ok((pid_file, instance))
}

/// Creates the event loop.
fn register_event_implementation() -> Result<EventLoop, DaemonError> {
    EventLoop::new().map_err(DaemonError::EventLoop)
}

/// Adds the signals of the process to the loop. They are caught until the returned value is dropped.
fn watch_signals(
    process: Option<ProcessHooks>,
    event_loop: &EventLoop,
    server: &Arc<Server>,
    shutdown: &Shutdown,
) -> Result<Option<impl Drop + use<>>, DaemonError> {
    let control = Control::new(Arc::clone(server));
    let watched = process.map(|process| process.watch(&event_loop.registry(), shutdown, control));
    watched.transpose().map_err(DaemonError::Signals)
}

/// Stops the daemon after a time without clients (DM-1307).
fn watch_idleness(config: &Config, server: &Server, shutdown: &Shutdown) {
    let shutdown = shutdown.clone();
    server.watch_idleness(config.idle_timeout, move || {
        tracing::info!(
            "stopping: there has been no client for the duration of eventry_idle_timeout"
        );
        shutdown.request();
    });
}

/// Returns the prefixes of the names of sockets that systemd passes (DM-403).
fn names_of_daemon(config: &Config) -> &'static [&'static str] {
    match config.prefix.as_str() {
        "libvirt" => &["eventryd", "libvirtd", "virtproxyd"],
        _ => &["eventryd"],
    }
}

/// Returns the configuration with only the network services whose sockets systemd has passed. The daemon's own
/// sockets are not created then (DM-404, DM-406).
pub(super) fn for_passed_sockets(config: &Config) -> Result<Config, DaemonError> {
    let mut config = config.clone();
    if let Some(passed) = passed_roles(&config)? {
        let (tcp, tls) = (
            config.tcp.or(config.passed_tcp),
            config.tls.or(config.passed_tls),
        );
        config.tcp = tcp.clone().filter(|_| passed.contains(&SocketRole::Tcp));
        config.tls = tls.clone().filter(|_| passed.contains(&SocketRole::Tls));
        (config.passed_tcp, config.passed_tls) = (tcp, tls);
    }
    Ok(config)
}

/// Returns the roles of the sockets that systemd has passed and the daemon takes; `None` without any.
pub(super) fn passed_roles(config: &Config) -> Result<Option<Vec<SocketRole>>, DaemonError> {
    if !config.socket_activation {
        return Ok(None);
    }
    activation_roles(names_of_daemon(config)).map_err(DaemonError::Network)
}

/// Creates the services. Clients may connect afterwards, and wait (DM-104). If systemd has passed sockets, only
/// these are used (DM-404).
fn create_services(
    config: &Config,
    tls: Option<Arc<TlsContext>>,
    server: &Server,
) -> Result<(), DaemonError> {
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
        // The configuration has no service for this socket.
        let auth = auth.ok_or(DaemonError::NotConfigured(purpose))?;
        let tls = match purpose {
            SocketRole::Tls => Some(tls.clone().ok_or(DaemonError::NotConfigured(purpose))?),
            _ => None,
        };
        server.add_service(of_service, ServicePolicy { access, auth }, tls);
    }
    Ok(())
}

/// Creates the sockets of the configuration, with their names and modes.
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
        let bound = listen(config, SocketRole::Tcp, tcp.address.as_deref(), &tcp.port)?;
        listeners.extend(
            bound
                .into_iter()
                .map(|listener| (SocketRole::Tcp, listener)),
        );
    }
    if let Some(tls) = &config.tls {
        let bound = listen(config, SocketRole::Tls, tls.address.as_deref(), &tls.port)?;
        listeners.extend(
            bound
                .into_iter()
                .map(|listener| (SocketRole::Tls, listener)),
        );
    }
    Ok(listeners)
}

/// Listens on a network, and logs the addresses that are not available (DM-303).
fn listen(
    config: &Config,
    role: SocketRole,
    host: Option<&str>,
    port: &str,
) -> Result<Vec<Listener>, DaemonError> {
    let bound = BoundSockets::bind(host, port, config.max_queued_clients);
    let bound = bound.map_err(|source| DaemonError::Listen { role, source })?;
    for (address, error) in bound.skipped {
        tracing::warn!("not listening on {address}: {error}");
    }
    Ok(bound.sockets.into_iter().map(Listener::Tcp).collect())
}

/// The thread of the event loop.
struct ServerThread(JoinHandle<Result<(), RunError>>);

fn start_event_loop(mut event_loop: EventLoop) -> Result<ServerThread, DaemonError> {
    event_loop.set_on_warning(|warning| tracing::warn!("{warning}"));
    // The loop removes the handle or timeout and serves all others. The panic hook has reported the
    // message. A run that returned the panic would also have taken a request to stop in the same turn.
    event_loop.set_panic_policy(PanicPolicy::Call(Arc::new(|panic: &CallbackPanic| {
        tracing::error!("{} removed, as its callback panicked", panic.callback);
    })));
    thread::Builder::new()
        .name("event-loop".to_owned())
        .spawn(move || event_loop.run())
        .map(ServerThread)
        .map_err(DaemonError::EventLoop)
}

impl ServerThread {
    /// Waits until the loop has stopped.
    fn join(self) -> Result<(), DaemonError> {
        match self.0.join() {
            Ok(ended) => ended.map_err(DaemonError::Loop),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
