//! What `tracing` calls for every event.

use super::line::{Line, Text};
use super::sink::{Sink, SinkError, Taken};
use super::{Burst, Filters, Level, Output};
use crate::sync::Mutex;
use eventry::Time;
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

/// What is logged, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The least level of parts that no filter names.
    pub level: Level,
    /// Levels of parts.
    pub filters: Filters,
    /// Where lines go.
    pub outputs: Vec<Output>,
    /// Lines of one kind in ten seconds ([`WINDOW`](super::WINDOW)); 0 is no limit.
    pub burst: u32,
}

/// The log of this process; a clone is the same log.
#[derive(Clone)]
pub struct Logger(Arc<Shared>);

/// Another setup, with its outputs open: [`Logger::apply`] cannot fail any more.
pub struct Change {
    setup: Setup,
    sinks: Vec<Sink>,
}

struct Shared {
    /// Never held while an event is made: only what is made here already is written under it.
    state: Mutex<State>,
}

struct State {
    level: Level,
    filters: Filters,
    sinks: Vec<Sink>,
    burst: Burst<Identifier>,
}

impl Logger {
    /// Opens the outputs and makes this the log of the process.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if an output cannot be opened.
    ///
    /// # Panics
    ///
    /// If the process has a log already.
    pub fn install(setup: &Setup) -> Result<Logger, SinkError> {
        let logger = Logger::open(setup)?;
        tracing_subscriber::registry().with(logger.clone()).init();
        Ok(logger)
    }

    fn open(setup: &Setup) -> Result<Logger, SinkError> {
        let state = State {
            level: setup.level,
            filters: setup.filters.clone(),
            sinks: open_all(&setup.outputs)?,
            burst: Burst::new(setup.burst),
        };
        let state = Mutex::new(state);
        Ok(Logger(Arc::new(Shared { state })))
    }

    /// Opens the outputs of another setup; files anew, so that they may have been moved away.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if an output cannot be opened; then nothing is changed.
    pub fn prepare(&self, setup: &Setup) -> Result<Change, SinkError> {
        Ok(Change {
            setup: setup.clone(),
            sinks: open_all(&setup.outputs)?,
        })
    }

    /// Logs so from now on.
    pub fn apply(&self, change: Change) {
        let Change { setup, sinks } = change;
        let mut state = self.0.state.lock();
        state.level = setup.level;
        state.filters = setup.filters;
        let old = std::mem::replace(&mut state.sinks, sinks);
        state.burst.set_limit(setup.burst);
        drop(state);
        drop(old);
        // Whoever asked before whether anybody listens has to ask again.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Tells what was suppressed and not told yet. For the end of the process.
    pub fn finish(&self) {
        let suppressed = self.0.state.lock().burst.end();
        tell(suppressed);
    }

    /// Writes an event to every output that takes its level.
    fn write<S>(&self, event: &Event<'_>, level: Level, context: &Context<'_, S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let metadata = event.metadata();
        let mut said = Said::default();
        event.record(&mut said);
        let text = said.finish();
        let line = Line {
            time: read(ClockId::Realtime),
            thread: u32::try_from(gettid().as_raw_pid()).unwrap_or_default(),
            level,
            source: &source_of(metadata.target()),
            source_line: metadata.line().unwrap_or_default(),
            text: &text,
        };
        let line = format!("{line}\n");
        let mut state = self.0.state.lock();
        for sink in state.sinks.iter_mut().filter(|sink| sink.level <= level) {
            match sink.takes() {
                Taken::Event(layer) => layer.on_event(event, context.clone()),
                Taken::Line => sink.write(level, &line, &text),
            }
        }
    }
}

fn open_all(outputs: &[Output]) -> Result<Vec<Sink>, SinkError> {
    outputs.iter().map(Sink::open).collect()
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").finish_non_exhaustive()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

impl State {
    fn level_of(&self, target: &str) -> Level {
        self.filters
            .level_of(&source_of(target))
            .unwrap_or(self.level)
    }
}

impl<S> Layer<S> for Logger
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let least = self.0.state.lock().level_of(metadata.target());
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
        let now = Time::ZERO.after(read(ClockId::Monotonic));
        // Whoever asks for every call gets every call; and what was suppressed is told in any case.
        let is_limited = level >= Level::Info && metadata.target() != module_path!();
        let (ended, is_admitted) = {
            let burst = &mut self.0.state.lock().burst;
            let ended = burst.ended(now);
            (ended, !is_limited || burst.admit(now, metadata.callsite()))
        };
        // A flood costs little: a line that nobody sees is not made.
        if is_admitted {
            self.write(event, level, &context);
        }
        tell(ended);
    }
}

/// Logs what was suppressed.
fn tell(suppressed: Vec<(Identifier, u64)>) {
    for (kind, count) in suppressed {
        let metadata = kind.0.metadata();
        let source = source_of(metadata.target());
        let line = metadata.line().unwrap_or_default();
        tracing::warn!("{count} more lines like those of {source}:{line} were suppressed");
    }
}

/// The name of a part of the daemon, from the path of its module. The program itself is `daemon` and the
/// events of the library are `loop`: the filters of libvirtd's sample file silence everything with `event`
/// in its name.
fn source_of(target: &str) -> String {
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

fn read(clock: ClockId) -> Duration {
    // Neither clock is before its origin.
    clock_gettime(clock).try_into().unwrap_or_default()
}

/// What an event says: its message, then its fields.
#[derive(Default)]
struct Said {
    message: Text,
    fields: Text,
}

impl Said {
    fn finish(self) -> String {
        self.message.finish() + &self.fields.finish()
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Text takes everything.
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
