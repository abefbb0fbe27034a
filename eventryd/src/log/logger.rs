//! The `tracing` layer that writes the log.

use super::line::{EscapedText, LogLine};
use super::sink::{Sink, SinkError, SinkInput};
use super::{Filters, Level, Output, RateLimiter};
use crate::sync::Mutex;
use eventry::MonotonicTime;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

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
}

/// Log of the process. Clones share it.
#[derive(Clone)]
pub struct Logger(Arc<Shared>);

/// Configuration whose outputs are open, so that [`Logger::apply`] cannot fail.
pub struct PreparedLogConfig {
    config: LogConfig,
    sinks: Vec<Sink>,
}

struct Shared {
    /// Not held while an event is formatted, because `Display` code of other modules runs then.
    state: Mutex<State>,
}

struct State {
    level: Level,
    filters: Filters,
    sinks: Vec<Sink>,
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
        Ok(logger)
    }

    /// Opens the outputs without installing the log.
    pub(crate) fn open(config: &LogConfig) -> Result<Logger, SinkError> {
        let state = State {
            level: config.level,
            filters: config.filters.clone(),
            sinks: open_sinks(&config.outputs)?,
            limiter: RateLimiter::new(config.burst_limit),
        };
        let state = Mutex::new(state);
        Ok(Logger(Arc::new(Shared { state })))
    }

    /// Opens the outputs of another configuration. Files are reopened by path, so that a rotated
    /// file is created again.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if an output cannot be opened. The current log is unaffected in that case.
    pub fn prepare(&self, config: &LogConfig) -> Result<PreparedLogConfig, SinkError> {
        Ok(PreparedLogConfig {
            config: config.clone(),
            sinks: open_sinks(&config.outputs)?,
        })
    }

    /// Replaces the configuration.
    pub fn apply(&self, prepared: PreparedLogConfig) {
        let PreparedLogConfig { config, sinks } = prepared;
        let mut state = self.0.state.lock();
        state.level = config.level;
        state.filters = config.filters;
        let old = std::mem::replace(&mut state.sinks, sinks);
        state.limiter.set_limit(config.burst_limit);
        drop(state);
        drop(old);
        // `tracing` caches for each call site whether it is enabled.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Logs the suppressed lines that are not reported yet. To be called before the process exits.
    pub fn finish(&self) {
        let suppressed = self.0.state.lock().limiter.take_all();
        log_suppressed(suppressed);
    }

    /// Formats an event and writes it to each output whose level is low enough.
    fn write<S>(&self, event: &Event<'_>, level: Level, context: &Context<'_, S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let metadata = event.metadata();
        let mut event_text = EventText::default();
        event.record(&mut event_text);
        let text = event_text.finish();
        let line = LogLine {
            time: clock_time(ClockId::Realtime),
            thread: u32::try_from(gettid().as_raw_pid()).unwrap_or_default(),
            level,
            source: &source_name(metadata.target()),
            source_line: metadata.line().unwrap_or_default(),
            text: &text,
        };
        let line = format!("{line}\n");
        let mut state = self.0.state.lock();
        for sink in state.sinks.iter_mut().filter(|sink| sink.level <= level) {
            match sink.input() {
                SinkInput::Event(layer) => layer.on_event(event, context.clone()),
                SinkInput::Line => sink.write(level, &line, &text),
            }
        }
    }
}

fn open_sinks(outputs: &[Output]) -> Result<Vec<Sink>, SinkError> {
    outputs.iter().map(Sink::open).collect()
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
}

impl<S> Layer<S> for Logger
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let least = self.0.state.lock().level_for(metadata.target());
        if metadata.is_event() && Level::from(metadata.level()) >= least {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let state = self.0.state.lock();
        let lowest = state
            .filters
            .lowest()
            .map_or(state.level, |level| level.min(state.level));
        Some(lowest.into())
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
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
            self.write(event, level, &context);
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

/// Text of an event: its message, then its fields.
#[derive(Default)]
struct EventText {
    message: EscapedText,
    fields: EscapedText,
}

impl EventText {
    fn finish(self) -> String {
        self.message.finish() + &self.fields.finish()
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to `EscapedText` does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
#[path = "logger_tests.rs"]
mod tests;
