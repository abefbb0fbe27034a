//! The `tracing` layer that writes the log.

use super::opened::LogFiles;
use super::record::{EventOrigin, EventText, LogRecord};
use super::sink::{LogSockets, PreparedSink, Sink, SinkError};
use super::{Destination, Filters, Level, Output, RateLimiter};
use crate::sync::Mutex;
use eventry::MonotonicTime;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Longest wait for all outputs at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(800);

/// Longest wait for the report of what an output has lost at the end of the process.
const REPORT_TIMEOUT: Duration = Duration::from_millis(200);

/// Configuration of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// Lowest level of modules that no filter matches.
    pub level: Level,
    /// Levels of modules.
    pub filters: Filters,
    /// Destinations.
    pub outputs: Vec<Output>,
    /// Lines of one kind per [`RATE_LIMIT_WINDOW`](super::RATE_LIMIT_WINDOW); 0 means no limit.
    pub burst_limit: u32,
    /// Sockets of syslog and of the journal.
    pub sockets: LogSockets,
}

impl LogConfig {
    /// Returns the paths of the log files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.outputs
            .iter()
            .filter_map(|output| match &output.destination {
                Destination::File(path) => Some(path.as_path()),
                _ => None,
            })
    }
}

/// Log of the process. Clones share it.
#[derive(Clone)]
pub struct Logger(Arc<Shared>);

/// Configuration whose outputs are open, so that [`Logger::apply`] cannot fail.
pub struct PreparedLogConfig {
    config: LogConfig,
    sinks: Vec<PreparedSink>,
}

struct Shared {
    /// Not held while an event is formatted, because `Display` code of other modules runs then.
    state: Mutex<State>,
    files: LogFiles,
}

struct State {
    level: Level,
    filters: Filters,
    sinks: Vec<Sink>,
    /// Closed outputs whose writers had lines left at the last reload. At most one for each destination.
    replaced: Vec<Sink>,
    limiter: RateLimiter<Identifier>,
}

impl Logger {
    /// Opens the outputs and installs the log as the global `tracing` subscriber.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if an output cannot be opened.
    ///
    /// # Panics
    ///
    /// If the process already has a global subscriber.
    pub fn install(config: &LogConfig) -> Result<Logger, SinkError> {
        let logger = Logger::open(config)?;
        tracing_subscriber::registry().with(logger.clone()).init();
        log_warnings(&logger.sinks());
        Ok(logger)
    }

    /// Opens the outputs without installing the log.
    pub(crate) fn open(config: &LogConfig) -> Result<Logger, SinkError> {
        let files = LogFiles::default();
        let opened = open_sinks(config, &files, &[], &[])?;
        files.set_in_force(config.files().map(Path::to_owned).collect());
        let state = State {
            level: config.level,
            filters: config.filters.clone(),
            sinks: opened.into_iter().map(|sink| sink.commit(&[]).0).collect(),
            replaced: Vec::new(),
            limiter: RateLimiter::new(config.burst_limit),
        };
        let state = Mutex::new(state);
        Ok(Logger(Arc::new(Shared { state, files })))
    }

    /// Opens the outputs of another configuration. Files are reopened by path, so that a rotated
    /// file is created again. The outputs that remain keep their writers.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if an output cannot be opened. The current log is unaffected in that case, and new files are
    /// removed, as they are when the result is dropped.
    pub fn prepare(&self, config: &LogConfig) -> Result<PreparedLogConfig, SinkError> {
        let (current, replaced) = {
            let state = self.0.state.lock();
            (state.sinks.clone(), state.replaced.clone())
        };
        Ok(PreparedLogConfig {
            config: config.clone(),
            sinks: open_sinks(config, &self.0.files, &current, &replaced)?,
        })
    }

    /// Replaces the configuration. Lines that are queued for replaced outputs are still written; those that a replaced
    /// output has lost are reported, at once or by [`Logger::finish`].
    pub fn apply(&self, prepared: PreparedLogConfig) {
        let PreparedLogConfig { config, sinks } = prepared;
        let paths = config.files().map(Path::to_owned).collect();
        self.0.files.set_in_force(paths);
        let mut state = self.0.state.lock();
        state.level = config.level;
        state.filters = config.filters;
        state.limiter.set_limit(config.burst_limit);
        let committed = sinks.into_iter().map(|sink| sink.commit(&state.replaced));
        let (sinks, discarded): (Vec<_>, Vec<_>) = committed.unzip();
        let mut replaced = std::mem::replace(&mut state.sinks, sinks.clone());
        replaced.append(&mut state.replaced);
        replaced.retain(|old| {
            sinks
                .iter()
                .all(|new| !Arc::ptr_eq(&new.writer, &old.writer))
        });
        for old in &replaced {
            old.writer.close();
        }
        let (ended, busy) = replaced.into_iter().partition(|old| old.writer.is_idle());
        state.replaced = busy;
        drop(state);
        drop(discarded);
        // `tracing` caches for each call site whether it is enabled.
        tracing::callsite::rebuild_interest_cache();
        log_warnings(&sinks);
        for (output, lines) in flush(&ended, Duration::ZERO) {
            tracing::warn!("{lines} lines lost: {output} did not accept them");
        }
    }

    /// Waits until all outputs have written their lines, for 0.8 s at most. Returns the outputs that
    /// have not, with the number of these lines. Replaced outputs count as well.
    pub fn flush(&self) -> Vec<(Destination, u64)> {
        let mut sinks = self.sinks();
        sinks.extend_from_slice(&self.0.state.lock().replaced);
        flush(&sinks, FLUSH_TIMEOUT)
    }

    /// Logs the suppressed lines that are not reported yet, and writes all lines, for 1 s at most
    /// (DM-1606). To be called before the process exits.
    ///
    /// An output that does not accept its lines in this time loses them, which the others report.
    pub fn finish(&self) {
        let suppressed = self.0.state.lock().limiter.take_all();
        log_suppressed(suppressed);
        let lost = self.flush();
        for (output, lines) in &lost {
            tracing::warn!("{lines} lines lost: {output} did not accept them in time");
        }
        if !lost.is_empty() {
            let mut others = self.sinks();
            others.retain(|sink| lost.iter().all(|(output, _)| *output != sink.destination));
            flush(&others, REPORT_TIMEOUT);
        }
    }

    fn sinks(&self) -> Vec<Sink> {
        self.0.state.lock().sinks.clone()
    }

    /// Formats an event, and queues it for each output whose level is low enough.
    fn write(&self, event: &Event<'_>, level: Level) {
        let metadata = event.metadata();
        let mut text = EventText::default();
        event.record(&mut text);
        let origin = EventOrigin {
            time: clock_time(ClockId::Realtime),
            thread: u32::try_from(gettid().as_raw_pid()).unwrap_or_default(),
            level,
            source: &source_name(metadata.target()),
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
        };
        let record = LogRecord::new(&origin, text);
        let state = self.0.state.lock();
        for sink in state.sinks.iter().filter(|sink| sink.level <= level) {
            sink.writer.push(record.message_for(&sink.destination));
        }
    }
}

fn open_sinks(
    config: &LogConfig,
    files: &LogFiles,
    current: &[Sink],
    replaced: &[Sink],
) -> Result<Vec<PreparedSink>, SinkError> {
    let outputs = config.outputs.iter();
    outputs
        .map(|output| PreparedSink::open(output, &config.sockets, files, current, replaced))
        .collect()
}

/// Waits until these outputs have written their lines, for `timeout` at most for all of them. Returns
/// those that have not, with the number of lines.
fn flush(sinks: &[Sink], timeout: Duration) -> Vec<(Destination, u64)> {
    let end = clock_time(ClockId::Monotonic).saturating_add(timeout);
    let mut unwritten = Vec::new();
    for sink in sinks {
        let left = end.saturating_sub(clock_time(ClockId::Monotonic));
        let lines = sink.writer.flush(left);
        if lines > 0 {
            unwritten.push((sink.destination.clone(), lines));
        }
    }
    unwritten
}

fn log_warnings(sinks: &[Sink]) {
    for warning in sinks.iter().filter_map(|sink| sink.warning.as_ref()) {
        tracing::warn!("{warning}");
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").finish_non_exhaustive()
    }
}

impl fmt::Debug for PreparedLogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedLogConfig")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl State {
    fn level_for(&self, target: &str) -> Level {
        self.filters
            .level_for(&source_name(target))
            .unwrap_or(self.level)
    }

    fn is_enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && Level::from(metadata.level()) >= self.level_for(metadata.target())
    }
}

impl<S> Layer<S> for Logger
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.state.lock().is_enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    /// Called for each event if the process has another subscriber, which may want what this one does not.
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.0.state.lock().is_enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let state = self.0.state.lock();
        let lowest = state
            .filters
            .lowest()
            .map_or(state.level, |level| level.min(state.level));
        Some(lowest.into())
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = Level::from(metadata.level());
        let now = MonotonicTime::ZERO.saturating_add(clock_time(ClockId::Monotonic));
        // Debug lines are not limited, as they are enabled on purpose. Nor are the reports of this
        // module, which would otherwise suppress each other.
        let is_limited = level >= Level::Info && metadata.target() != module_path!();
        let (expired, is_allowed) = {
            let limiter = &mut self.0.state.lock().limiter;
            let expired = limiter.take_expired(now);
            (
                expired,
                !is_limited || limiter.allow(now, metadata.callsite()),
            )
        };
        // A suppressed line is not formatted, so that a flood costs little.
        if is_allowed {
            self.write(event, level);
        }
        log_suppressed(expired);
    }
}

/// Logs the number of suppressed lines of each kind.
fn log_suppressed(suppressed: Vec<(Identifier, u64)>) {
    for (kind, count) in suppressed {
        let metadata = kind.0.metadata();
        let source = source_name(metadata.target());
        let line = metadata.line().unwrap_or_default();
        tracing::warn!(
            "{count} more lines of {source}:{line} suppressed; eventry_log_burst sets the limit"
        );
    }
}

/// Returns the name of a module in the log, from its path in the crate.
///
/// The command line is `daemon` and the library is `loop`, because the filters in libvirt's sample
/// `libvirtd.conf` match every name that contains `event`.
fn source_name(target: &str) -> String {
    let path: Vec<&str> = target.split("::").collect();
    let (part, rest) = match path.as_slice() {
        ["eventryd"] => (Some("daemon"), &[][..]),
        ["eventryd", "cli", rest @ ..] => (Some("daemon"), rest),
        ["eventry", rest @ ..] => (Some("loop"), rest),
        ["eventryd", rest @ ..] | rest => (None, rest),
    };
    let parts: Vec<&str> = part.into_iter().chain(rest.iter().copied()).collect();
    parts.join(".")
}

fn clock_time(clock: ClockId) -> Duration {
    // Both clocks are past their origin, so the conversion does not fail.
    clock_gettime(clock).try_into().unwrap_or_default()
}

#[cfg(test)]
#[path = "logger_tests.rs"]
mod tests;
