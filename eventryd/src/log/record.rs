//! An event as the outputs receive it.

use super::line::{EscapedText, LogLine};
use super::{Destination, Level};
use std::fmt::{self, Write};
use std::time::Duration;
use tracing::field::{Field, Visit};

/// Bytes of a record for the journal, at most. A datagram may have some 200 KiB by default.
const MAX_RECORD_LEN: usize = 64 * 1024;

/// Facility "system daemons" of syslog, shifted so that a severity can be added (RFC 5424).
const FACILITY_DAEMON: u8 = 3 << 3;

/// Time, thread and place in the source of an event.
#[derive(Clone, Debug)]
pub(super) struct EventOrigin<'a> {
    /// Time since 1970-01-01 00:00 UTC.
    pub(super) time: Duration,
    /// Thread ID of the kernel.
    pub(super) thread: u32,
    pub(super) level: Level,
    /// Name of the module in the log.
    pub(super) source: &'a str,
    /// Path of the module in the crate.
    pub(super) target: &'a str,
    pub(super) file: Option<&'a str>,
    pub(super) line: Option<u32>,
}

/// Message and fields of an event, escaped and of bounded length.
#[derive(Debug, Default)]
pub(super) struct EventText {
    message: EscapedText,
    fields: EscapedText,
    /// The fields in the form of the journal.
    journal_fields: Vec<u8>,
}

/// Forms of an event: a line, a message for syslog, and a record for the journal.
#[derive(Debug)]
pub(super) struct LogRecord {
    level: Level,
    line: String,
    text: String,
    journal: Vec<u8>,
}

impl LogRecord {
    pub(super) fn new(origin: &EventOrigin<'_>, event: EventText) -> LogRecord {
        let message = event.message.finish();
        let journal = journal_record(origin, &message, &event.journal_fields);
        let text = message + &event.fields.finish();
        let line = LogLine {
            time: origin.time,
            thread: origin.thread,
            level: origin.level,
            source: origin.source,
            source_line: origin.line.unwrap_or_default(),
            text: &text,
        };
        LogRecord {
            level: origin.level,
            line: format!("{line}\n"),
            text,
            journal,
        }
    }

    /// Returns the form that a destination receives.
    pub(super) fn message_for(&self, destination: &Destination) -> Vec<u8> {
        match destination {
            Destination::Stderr | Destination::File(_) => self.line.clone().into_bytes(),
            Destination::Syslog(name) => {
                syslog_message(self.level, name, std::process::id(), &self.text).into_bytes()
            }
            Destination::Journald => self.journal.clone(),
        }
    }
}

impl EventText {
    /// Creates the text of an event without fields.
    pub(super) fn from_message(message: fmt::Arguments<'_>) -> EventText {
        let mut text = EventText::default();
        // Writing to `EscapedText` does not fail.
        let _ = text.message.write_fmt(message);
        text
    }

    fn put_field(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let mut escaped = EscapedText::default();
        let _ = escaped.write_fmt(value);
        let name = format!("F_{}", journal_name(name));
        put_journal_field(&mut self.journal_fields, &name, &escaped.finish());
    }
}

impl Visit for EventText {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            let _ = self.message.write_str(value);
        } else {
            // The journal gets the text without quotes.
            self.put_field(field.name(), format_args!("{value}"));
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.put_field(field.name(), format_args!("{value:?}"));
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

/// Formats a message for the socket of syslog, which adds the time.
fn syslog_message(level: Level, name: &str, pid: u32, text: &str) -> String {
    let priority = FACILITY_DAEMON | level.syslog_severity();
    format!("<{priority}>{name}[{pid}]: {text}")
}

/// Encodes a record for the journal (systemd.io, "Native Journal Protocol").
fn journal_record(origin: &EventOrigin<'_>, message: &str, fields: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(512 + message.len() + fields.len());
    let priority = origin.level.syslog_severity().to_string();
    put_journal_field(&mut record, "PRIORITY", &priority);
    put_journal_field(&mut record, "TARGET", origin.target);
    if let Some(file) = origin.file {
        put_journal_field(&mut record, "CODE_FILE", file);
    }
    if let Some(line) = origin.line {
        put_journal_field(&mut record, "CODE_LINE", &line.to_string());
    }
    put_journal_field(&mut record, "SYSLOG_IDENTIFIER", "eventryd");
    put_journal_field(&mut record, "MESSAGE", message);
    record.extend_from_slice(fields);
    record
}

/// Adds a field in the form with a length, which allows every value. A field that makes the record too long is left
/// out.
fn put_journal_field(record: &mut Vec<u8>, name: &str, value: &str) {
    if record.len() + name.len() + value.len() > MAX_RECORD_LEN {
        return;
    }
    let length = u64::try_from(value.len()).expect("a length fits into 64 bits");
    record.extend_from_slice(name.as_bytes());
    record.push(b'\n');
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(value.as_bytes());
    record.push(b'\n');
}

/// Converts a name to the characters that the journal accepts: capital letters, digits and `_`.
fn journal_name(name: &str) -> String {
    let characters = name.chars().map(|c| if c == '.' { '_' } else { c });
    let accepted = characters.filter(|c| c.is_ascii_alphanumeric() || *c == '_');
    accepted.map(|c| c.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MAX_TEXT_LEN;

    fn origin() -> EventOrigin<'static> {
        EventOrigin {
            time: Duration::ZERO,
            thread: 7,
            level: Level::Warning,
            source: "server.client",
            target: "eventryd::server::client",
            file: Some("client.rs"),
            line: Some(12),
        }
    }

    #[test]
    fn syslog_message_has_priority_name_and_pid() {
        let message = syslog_message(Level::Warning, "libvirtd", 7, "the disk is full");
        assert_eq!(message, "<28>libvirtd[7]: the disk is full");
    }

    #[test]
    fn journal_record_has_the_fields_in_the_native_form() {
        let mut event = EventText::from_message(format_args!("two\nlines"));
        event.put_field("client.name", format_args!("x"));
        let record = LogRecord::new(&origin(), event).message_for(&Destination::Journald);
        let mut expected = Vec::new();
        for (name, value) in [
            ("PRIORITY", "4"),
            ("TARGET", "eventryd::server::client"),
            ("CODE_FILE", "client.rs"),
            ("CODE_LINE", "12"),
            ("SYSLOG_IDENTIFIER", "eventryd"),
            ("MESSAGE", "two\\nlines"),
            ("F_CLIENT_NAME", "x"),
        ] {
            let length = u64::try_from(value.len()).unwrap().to_le_bytes();
            expected.extend([name.as_bytes(), b"\n", &length, value.as_bytes(), b"\n"].concat());
        }
        assert_eq!(record, expected);
    }

    #[test]
    fn journal_record_fits_into_a_datagram() {
        let long = "x".repeat(2 * MAX_TEXT_LEN);
        let mut event = EventText::from_message(format_args!("{long}"));
        for _ in 0..100 {
            event.put_field("field", format_args!("{long}"));
        }
        let record = LogRecord::new(&origin(), event).message_for(&Destination::Journald);
        assert!(record.len() < MAX_RECORD_LEN + 2 * MAX_TEXT_LEN);
        let (sender, _receiver) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert_eq!(sender.send(&record).unwrap(), record.len());
    }
}
