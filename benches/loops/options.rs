//! The options of the command line.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Compares the cost of eventry with a bare epoll loop and with the event loops that are installed.

usage: cargo bench -p eventry --bench loops -- [OPTIONS]

  --quick            10 ms per measurement, 3 rounds, without the largest cases: about a minute
  --rounds N         number of rounds (default 5, which take about eight minutes)
  --cases W0,W3      only these groups or parts of the names of rows (default: all)
  --peers a,b        only these peers (default: all): eventry, eventry-c, libevent, libuv, glib, tokio
  --list             print the rows and the peers, and end
  --help             print this text, and end

A peer is a column. eventry-c, libevent, libuv and glib need the C compiler `cc`; libevent, libuv and glib are found by
pkg-config (Debian: libevent-dev, libuv1-dev, libglib2.0-dev). eventry-c and tokio are built by cargo into target/loops;
tokio needs a network once. A peer that is missing is shown as `not installed`. The table is printed in Markdown.
";

pub(crate) struct Options {
    pub(crate) rounds: u32,
    pub(crate) is_quick: bool,
    /// Groups or parts of the names of rows; empty for all.
    pub(crate) cases: Vec<String>,
    /// Names of peers; empty for all.
    pub(crate) peers: Vec<String>,
}

pub(crate) enum Request {
    Compare(Options),
    List,
    Help,
}

impl Options {
    /// CPU time of one section of a measurement.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_millis(if self.is_quick { 10 } else { 50 })
    }

    pub(crate) fn wants_peer(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|wanted| wanted == peer)
    }

    pub(crate) fn wants_row(&self, row: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|part| row.contains(part.as_str()))
    }
}

/// Parses the arguments.
///
/// # Errors
///
/// The message for the user.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let (mut rounds, mut is_quick) = (None, false);
    let (mut cases, mut peers) = (Vec::new(), Vec::new());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || {
            let value = value.clone().or_else(|| arguments.next());
            value.ok_or_else(|| format!("{name} needs a value: see --help"))
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(Request::Help),
            "--list" => return Ok(Request::List),
            "--quick" => is_quick = true,
            "--rounds" => rounds = Some(number(&value()?)?),
            "--cases" => cases = list(&value()?),
            "--peers" => peers = list(&value()?),
            _ => return Err(format!("unknown argument {name:?}: see --help")),
        }
    }
    Ok(Request::Compare(Options {
        rounds: rounds.unwrap_or(if is_quick { 3 } else { 5 }),
        is_quick,
        cases,
        peers,
    }))
}

fn number(text: &str) -> Result<u32, String> {
    let number = NonZeroU32::from_str(text);
    let number = number.map_err(|_| format!("--rounds needs a number from 1, not {text:?}"))?;
    Ok(number.get())
}

fn list(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}
