//! Stale registrations: those that have ended for the table but not for the poller.
//!
//! Epoll identifies a registration by the number of the descriptor and the open file. If the number is closed
//! before the removal while a duplicate keeps the file open, the registration cannot be removed any more, and
//! epoll reports it forever (EV-1003). Only a new epoll instance is free of it, so the loop recreates the poller.

use crate::id::Token;

/// The number of reports of a token from which on its registration counts as stale. One report is not enough: the
/// registration may have ended after the poller had fetched the event. Such an event is reported once only.
const MIN_REPORTS: u32 = 2;

/// A detector that distinguishes stale registrations from events that were fetched before a removal.
///
/// ```
/// use eventry::Token;
/// use eventry::table::StaleDetector;
///
/// let mut detector = StaleDetector::default();
/// let stale = Some(Token::from_bits(7));
/// assert!(!detector.detect(stale));
/// // A turn without a stale event does not reset the count: a stale registration may be ready at times only.
/// assert!(!detector.detect(None));
/// assert!(detector.detect(stale));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StaleDetector {
    /// The latest stale token, and the number of its consecutive reports.
    suspect: Option<(Token, u32)>,
}

impl StaleDetector {
    /// Counts a report of the token that [`take_stale`](super::Table::take_stale) returned: the lowest stale token,
    /// which is the same in each turn, regardless of the number and order of stale registrations. Returns whether
    /// the poller has stale registrations; the count then restarts.
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
