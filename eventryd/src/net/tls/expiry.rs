//! Announcements that certificates and revocation lists expire (DM-1213).

use super::certificate::Certificate;
use super::date::format_date;
use super::dn::distinguished_name;
use super::files::{self, LoadedFiles, TlsFiles};
use super::revocation::RevocationListFields;
use std::path::Path;
use std::time::Duration;

/// The interval between two announcements of the same expiry, in seconds.
const DAY: i64 = 24 * 60 * 60;

/// The time before an expiry at which the announcements begin, in seconds.
const NOTICE: i64 = 7 * DAY;

/// The effect of an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Of a server certificate.
    ServerRejected,
    /// Of a CA certificate, also of an intermediate one.
    ClientsRejected,
    /// Of a revocation list.
    RevocationsUnknown,
}

/// A certificate or a revocation list that expires.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expiring {
    /// Kind, name and path, for messages.
    description: String,
    /// The last second of the validity, since 1970.
    not_after: i64,
    effect: Effect,
    /// The time of the last announcement, in seconds since 1970.
    announced: Option<i64>,
}

impl Expiring {
    /// Returns `true` if an announcement is due.
    fn is_due(&self, now: i64) -> bool {
        let is_near = now >= self.not_after.saturating_sub(NOTICE);
        is_near
            && self.announced.is_none_or(|last| {
                let has_expired_since = last <= self.not_after && now > self.not_after;
                // A clock that was set back starts a new day.
                has_expired_since || !(0..DAY).contains(&(now - last))
            })
    }

    /// Returns the time at which the next announcement is due, unless the clock is set.
    fn next(&self, now: i64) -> i64 {
        match self.announced {
            None => self.not_after.saturating_sub(NOTICE),
            Some(last) if now <= self.not_after => (last + DAY).min(self.not_after + 1),
            Some(last) => last + DAY,
        }
    }

    fn announcement(&self, now: i64) -> String {
        let Expiring {
            description,
            not_after,
            effect,
            ..
        } = self;
        let date = format_date(*not_after);
        let install = "install a new one and reload";
        if now <= *not_after {
            return format!("the {description} expires on {date}: {install}");
        }
        let effect = match effect {
            Effect::ServerRejected => "clients reject it",
            Effect::ClientsRejected => "clients whose certificates depend on it are rejected",
            Effect::RevocationsUnknown => "certificates revoked after that date are still accepted",
        };
        format!("the {description} expired on {date}: {effect}; {install}")
    }
}

/// The certificates and revocation lists of a [`TlsContext`](super::TlsContext), whose expiry is
/// announced from a week before it, once a day.
///
/// The time is an argument, so the watch has no clock and no timer.
#[derive(Clone, Debug, Default)]
pub struct ExpiryWatch {
    items: Vec<Expiring>,
}

/// The result of [`ExpiryWatch::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ExpiryCheck {
    /// The announcements to log now.
    pub warnings: Vec<String>,
    /// The time until the next check: a day or less, because the clock may be set. `None` if
    /// nothing expires.
    pub next: Option<Duration>,
}

impl ExpiryWatch {
    /// Creates a watch. A certificate that cannot be parsed has no known expiry.
    pub(super) fn new(loaded: &LoadedFiles, files: &TlsFiles) -> ExpiryWatch {
        let mut items = Vec::new();
        for der in &loaded.authorities {
            let source = (files::AUTHORITY, &*files.ca);
            items.extend(certificate(source, der, Effect::ClientsRejected));
        }
        for (server, files) in loaded.server.iter().zip(&files.server) {
            for (index, der) in server.chain.iter().enumerate() {
                let kind = match index {
                    0 => files::CERTIFICATE,
                    _ => "intermediate certificate",
                };
                let source = (kind, &*files.certificate);
                items.extend(certificate(source, der, Effect::ServerRejected));
            }
        }
        let path = files.crl.as_deref().unwrap_or(Path::new(""));
        let lists = loaded.revocations.iter();
        items.extend(lists.filter_map(|der| revocation_list(path, der)));
        ExpiryWatch { items }
    }

    /// Returns the announcements that are due at `now`, the time since 1970, and records them.
    pub fn check(&mut self, now: Duration) -> ExpiryCheck {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut warnings = Vec::new();
        for item in self.items.iter_mut().filter(|item| item.is_due(now)) {
            item.announced = Some(now);
            warnings.push(item.announcement(now));
        }
        let next = self.items.iter().map(|item| item.next(now)).min();
        let next = next.map(|next| {
            let seconds = next.saturating_sub(now).clamp(1, DAY);
            Duration::from_secs(seconds.unsigned_abs())
        });
        ExpiryCheck { warnings, next }
    }
}

fn certificate(
    (kind, path): (&'static str, &Path),
    der: &[u8],
    effect: Effect,
) -> Option<Expiring> {
    let certificate = Certificate::read(der).ok()?;
    Some(Expiring {
        description: describe(kind, certificate.subject, path),
        not_after: certificate.not_after,
        effect,
        announced: None,
    })
}

fn revocation_list(path: &Path, der: &[u8]) -> Option<Expiring> {
    let fields = RevocationListFields::read(der).ok()?;
    Some(Expiring {
        description: describe(files::REVOCATIONS, fields.issuer, path),
        not_after: fields.next_update,
        effect: Effect::RevocationsUnknown,
        announced: None,
    })
}

fn describe(kind: &str, name: &[u8], path: &Path) -> String {
    let name = distinguished_name(name).unwrap_or_default();
    format!("{kind} \"{name}\" in {}", path.display())
}

#[cfg(test)]
#[path = "expiry_tests.rs"]
mod tests;
