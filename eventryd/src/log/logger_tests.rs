//! Tests of the layer with a file as output.

use super::*;
use crate::log::Destination;
use std::cell::Cell;
use std::sync::LazyLock;
use tracing::Dispatch;
use tracing::subscriber::with_default;

fn output(level: Level, path: &Path) -> Output {
    Output {
        level,
        destination: Destination::File(path.to_owned()),
    }
}

fn config(level: Level, path: &Path) -> LogConfig {
    LogConfig {
        level,
        filters: Filters::default(),
        outputs: vec![output(Level::Trace, path)],
        burst_limit: 50,
        sockets: LogSockets::default(),
    }
}

/// A subscriber besides those of the tests. If a process has a single one, `tracing` takes the subscriber of the thread
/// that rebuilds its cache for all threads, and a test that applies a configuration without one would disable the lines of
/// the others.
static OTHER_SUBSCRIBER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Runs `events` with a log of this thread and returns the contents of the file.
fn logged(config: &LogConfig, path: &Path, events: impl FnOnce(&Logger)) -> String {
    LazyLock::force(&OTHER_SUBSCRIBER);
    let logger = Logger::open(config).unwrap();
    let subscriber = tracing_subscriber::registry().with(logger.clone());
    with_default(subscriber, || events(&logger));
    assert_eq!(logger.flush(), []);
    std::fs::read_to_string(path).unwrap()
}

fn texts(log: &str) -> Vec<&str> {
    log.lines()
        .map(|line| line.splitn(6, ": ").last().unwrap())
        .collect()
}

#[test]
fn line_has_message_and_escaped_fields() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = logged(&config(Level::Info, &path), &path, |_| {
        let name = "x\n2026-01-01 00:00:00.000+0000: 1: error : forged";
        tracing::info!(clients = 1, name, "clients connected");
    });
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.as_str() > "2026", "the time of the line: {log}");
    assert!(log.contains(": info : log.logger.tests:"), "{log}");
    assert!(
        log.contains(" : clients connected clients=1 name=\"x\\n2026"),
        "{log}"
    );
    let thread = gettid().as_raw_pid().to_string();
    assert!(log.contains(&format!("+0000: {thread}: info")), "{log}");
}

#[test]
fn filters_and_outputs_have_their_own_levels() {
    let dir = tempfile::tempdir().unwrap();
    let (path, errors) = (dir.path().join("log"), dir.path().join("errors"));
    let mut config = config(Level::Warning, &path);
    config.filters = Filters::parse("1:quiet.part").unwrap();
    config.outputs.push(output(Level::Error, &errors));
    let log = logged(&config, &path, |_| {
        tracing::info!("not this");
        tracing::warn!("this");
        tracing::error!("this too");
        tracing::debug!(target: "eventryd::quiet::part", "and this");
        tracing::trace!(target: "eventryd::quiet::part", "but not that");
    });
    let said: Vec<&str> = log
        .lines()
        .map(|line| line.rsplit(" : ").next().unwrap())
        .collect();
    assert_eq!(said, ["this", "this too", "and this"]);
    let errors = std::fs::read_to_string(&errors).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn flood_is_limited_and_its_count_logged_at_finish() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = logged(&config(Level::Debug, &path), &path, |logger| {
        for client in 0..1000 {
            tracing::warn!("client {client} broke the protocol");
        }
        tracing::warn!("something else");
        for _ in 0..100 {
            tracing::debug!("asked for");
        }
        logger.finish();
    });
    let count = |part| log.lines().filter(|line| line.contains(part)).count();
    assert_eq!(
        (
            count("broke the protocol"),
            count("something else"),
            count("asked for")
        ),
        (50, 1, 100)
    );
    assert!(
        texts(&log)
            .last()
            .unwrap()
            .contains("950 more lines of log.logger.tests:"),
        "{log}"
    );
}

#[test]
fn suppressed_line_is_not_formatted() {
    struct Counted<'a>(&'a Cell<u32>);
    impl fmt::Display for Counted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set(self.0.get() + 1);
            f.write_str("counted")
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let made = Cell::new(0);
    logged(&config(Level::Debug, &path), &path, |_| {
        for _ in 0..1000 {
            tracing::warn!("{}", Counted(&made));
        }
    });
    assert_eq!(made.get(), 50);
}

#[test]
fn apply_reopens_the_file_and_changes_the_level() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
    let config = config(Level::Warning, &path);
    let say = || tracing::info!("perhaps");
    let log = logged(&config, &path, |logger| {
        tracing::warn!("before");
        say();
        std::fs::rename(&path, &moved).unwrap();
        tracing::warn!("still the same file");
        let level = Level::Info;
        let prepared = logger.prepare(&LogConfig {
            level,
            ..config.clone()
        });
        logger.apply(prepared.unwrap());
        say();
    });
    assert!(
        log.ends_with(" : perhaps\n") && log.lines().count() == 1,
        "{log}"
    );
    assert_eq!(std::fs::read_to_string(&moved).unwrap().lines().count(), 2);
}

#[test]
fn lines_keep_their_order_when_the_file_is_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut config = config(Level::Info, &path);
    config.burst_limit = 0;
    let log = logged(&config, &path, |logger| {
        for number in 0..500 {
            tracing::info!("{number}");
            if number % 10 == 0 {
                logger.apply(logger.prepare(&config).unwrap());
            }
        }
    });
    let numbers: Vec<usize> = log
        .lines()
        .map(|line| line.rsplit(" : ").next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[test]
fn rebuild_of_the_cache_by_another_thread_loses_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = logged(&config(Level::Info, &path), &path, |_| {
        for number in 0..2 {
            tracing::info!("{number}");
            tracing::debug!("below the level");
            let rebuild = || std::thread::spawn(tracing::callsite::rebuild_interest_cache);
            rebuild().join().unwrap();
        }
    });
    assert_eq!(texts(&log).len(), 2, "{log}");
}

#[test]
fn failed_prepare_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let good = config(Level::Warning, &path);
    let log = logged(&good, &path, |logger| {
        let mut bad = config(Level::Debug, &path);
        bad.outputs
            .push(output(Level::Info, Path::new("/nowhere/log")));
        assert!(logger.prepare(&bad).is_err());
        tracing::info!("not this");
        tracing::warn!("this");
    });
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn stock_libvirtd_filters_do_not_match_our_modules() {
    let filters = Filters::parse("1:qemu 1:libvirt 4:object 4:json 4:event 1:util").unwrap();
    let targets = [
        ("eventryd", "daemon"),
        ("eventryd::cli", "daemon"),
        ("eventryd::cli::process", "daemon.process"),
        ("eventry", "loop"),
        ("eventryd::server::idle", "server.idle"),
        ("mio::poll", "mio.poll"),
    ];
    for (target, source) in targets {
        assert_eq!(source_name(target), source);
        assert_eq!(filters.level_for(source), None);
    }
}
