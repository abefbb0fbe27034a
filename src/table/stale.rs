//! Registrations that are over for the table and not for the poller.
//!
//! Epoll knows a descriptor by its number and its open file. If the number is closed before the removal
//! while a duplicate keeps the file open, no number is left to deregister it by, and it is reported for
//! ever (EV-1003). Only a new poller is rid of it.

use crate::id::Token;

/// An event with a stale token that is reported so often belongs to a phantom. Once proves nothing: the
/// registration may have ended after the event was fetched. It cannot be fetched again then.
const MIN_REPORTS: u32 = 2;

/// Tells phantoms from events that a removal has overtaken.
///
/// ```
/// use eventry::Token;
/// use eventry::table::StaleDetector;
///
/// let mut detector = StaleDetector::default();
/// let stale = Some(Token::from_bits(7));
/// assert!(!detector.detect(stale));
/// // A turn without a stale event says nothing of one that is ready now and then.
/// assert!(!detector.detect(None));
/// assert!(detector.detect(stale));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StaleDetector {
    /// The stale token seen last, and how often in a row.
    suspect: Option<(Token, u32)>,
}

impl StaleDetector {
    /// Takes note of what [`take_stale`](super::Table::take_stale) returned: the least of the stale tokens,
    /// which is the same one in each turn however many phantoms there are and whatever their order.
    /// Returns whether the poller reports phantoms; then it begins to count anew.
    pub fn detect(&mut self, stale: Option<Token>) -> bool {
        let Some(token) = stale else {
            return false;
        };
        let reports = match self.suspect {
            Some((suspect, reports)) if suspect == token => reports + 1,
            _ => 1,
        };
        self.suspect = (reports < MIN_REPORTS).then_some((token, reports));
        reports >= MIN_REPORTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn token(bits: u64) -> Option<Token> {
        Some(Token::from_bits(bits))
    }

    #[test]
    fn detect_ignores_tokens_that_are_reported_once() {
        let mut detector = StaleDetector::default();
        for removed in 0..1_000 {
            assert!(!detector.detect(token(removed)));
        }
    }

    #[test]
    fn detect_reports_a_repeated_token_until_it_stops() {
        let mut detector = StaleDetector::default();
        let seen = (0..10).filter(|_| detector.detect(token(3))).count();
        assert_eq!(seen, 10 / MIN_REPORTS as usize);
    }

    #[test]
    fn detect_restarts_the_count_after_another_token() {
        let mut detector = StaleDetector::default();
        let stale = [3, 1, 3, 3].map(token);
        assert_eq!(
            stale.map(|stale| detector.detect(stale)),
            [false, false, false, true]
        );
    }
}
