//! What a failed check says.

/// The table did not do what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// Which rule was broken:
    ///
    /// - `I1` no id is issued twice
    /// - `I2` an update or removal succeeds exactly if the id is registered
    /// - `I3` a removal tells the truth about a running call, and no call begins after it
    /// - `I4` the calls are those of the oracle, in its order
    /// - `I5` a free call comes once, after the last call, and only when nothing else is left to call
    /// - `I6` payloads and sources are conserved, and a refused one comes back
    /// - `I7` what waits for its free call is exactly what was removed
    /// - `I9` what is delivered is asked for or unconditional, and never empty
    /// - `I10` what was added in a turn is not called in it
    /// - `I12` the next deadline is the nearest armed one
    /// - `I13` before the loop sleeps the poller is told exactly what makes its registrations the unions,
    ///   in the order of the first changes, each by a source that is still registered; the end of one is
    ///   told at once if a removal leaves nobody who wants something; without contradiction; tokens never
    ///   repeat
    /// - `I16` nothing is left when the loop is gone
    /// - `I17` the loop is kept from sleeping exactly if something waits to be freed or a refusal to be
    ///   heard of, and woken also if the poller is to be told something
    /// - `I18` an event that was reported for nobody is named, and nothing that is registered
    /// - `invariant` the table's own check of itself failed
    /// - `panic` the table panicked
    ///
    /// `I8` (one call at a time) and `I14` (a turn ends) follow from `I4`, since the oracle runs one call
    /// at a time and its lists only shrink during a turn; `I11` from `I12`; `I15` (the same ops give the
    /// same answers) is a test over two worlds.
    pub rule: &'static str,
    /// What was seen.
    pub detail: String,
}

impl Violation {
    /// Fails with `rule` unless `condition` holds.
    pub(crate) fn unless(
        condition: bool,
        rule: &'static str,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        if condition {
            return Ok(());
        }
        let detail = detail();
        Err(Violation { rule, detail })
    }
}
