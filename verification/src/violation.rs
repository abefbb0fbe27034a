//! The result of a failed check.

/// A broken rule of the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// The broken rule:
    ///
    /// - `I1` no id is issued twice
    /// - `I2` an update or removal succeeds exactly if the id is registered
    /// - `I3` a removal reports correctly that a call runs, and no call begins after it
    /// - `I4` the calls are those of the oracle, in its order
    /// - `I5` a free call is made once, after the last call, and only when no other call of the turn is left
    /// - `I6` payloads and sources are conserved, and a refused one is returned
    /// - `I7` the entries that wait for their free call are the removed ones
    /// - `I9` delivered events are requested or unconditional, and never empty
    /// - `I10` an entry added in a turn is not called in it
    /// - `I12` the next deadline is the nearest armed one
    /// - `I13` before the loop sleeps, the poller gets exactly the changes that make its registrations the
    ///   unions of the interests, in the order of the first changes, each with the source of a registered
    ///   handle; a removal that leaves a descriptor without an enabled handle deregisters it at once; no
    ///   change contradicts the registrations; tokens never repeat
    /// - `I16` nothing is left when the loop is dropped
    /// - `I17` the loop stays awake exactly if an entry waits to be freed or a refusal to be reported, and
    ///   is woken also if the poller is to get a change
    /// - `I18` a stale event is recorded with its token, and no token of a registration is
    /// - `refinement` the op is not a sequence of actions of the proved relation
    /// - `invariant` the table's own check of itself failed
    /// - `panic` the table panicked
    ///
    /// `I8` (one call at a time) and `I14` (a turn ends) follow from `I4`, since the oracle runs one call
    /// at a time and its lists only shrink during a turn. `I11` follows from `I12`. `I15` (the same ops
    /// give the same answers) is a test over two worlds.
    pub rule: &'static str,
    /// The observed state.
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
