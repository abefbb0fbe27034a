//! Tests of the announcements.

use super::*;

const NOT_AFTER: i64 = 1_800_000_000;

fn watch(not_after: &[i64]) -> ExpiryWatch {
    let item = |not_after: &i64| Expiring {
        description: "server certificate \"CN=a\" in /a.pem".to_owned(),
        not_after: *not_after,
        effect: Effect::ServerRejected,
        announced: None,
    };
    ExpiryWatch {
        items: not_after.iter().map(item).collect(),
    }
}

/// Checks at `now`; returns the number of warnings, and the seconds until the next check.
fn check(watch: &mut ExpiryWatch, now: i64) -> (usize, u64) {
    let found = watch.check(Duration::from_secs(now.unsigned_abs()));
    (found.warnings.len(), found.next.unwrap().as_secs())
}

const DAY_SECONDS: u64 = DAY.unsigned_abs();

#[test]
fn expiry_is_announced_from_a_week_before_once_a_day() {
    let mut watch = watch(&[NOT_AFTER]);
    let notice = NOT_AFTER - 7 * 86_400;
    // Far ahead, the next check is after a day, in case that the clock is set.
    assert_eq!(check(&mut watch, notice - 2 * DAY), (0, 86_400));
    assert_eq!(check(&mut watch, notice - DAY), (0, 86_400));
    assert_eq!(check(&mut watch, notice - 1), (0, 1));
    assert_eq!(check(&mut watch, notice), (1, DAY_SECONDS));
    assert_eq!(check(&mut watch, notice + 1), (0, DAY_SECONDS - 1));
    assert_eq!(check(&mut watch, notice + DAY - 1), (0, 1));
    assert_eq!(check(&mut watch, notice + DAY), (1, DAY_SECONDS));
    // The expiry itself is announced at once, and then daily.
    assert_eq!(check(&mut watch, NOT_AFTER - 10), (1, 11));
    assert_eq!(check(&mut watch, NOT_AFTER), (0, 1));
    assert_eq!(check(&mut watch, NOT_AFTER + 1), (1, DAY_SECONDS));
    assert_eq!(check(&mut watch, NOT_AFTER + 2), (0, DAY_SECONDS - 1));
    assert_eq!(check(&mut watch, NOT_AFTER + DAY + 1), (1, DAY_SECONDS));
}

#[test]
fn check_announces_again_after_the_clock_was_set_back() {
    let mut watch = watch(&[NOT_AFTER]);
    assert_eq!(check(&mut watch, NOT_AFTER - 100).0, 1);
    assert_eq!(check(&mut watch, NOT_AFTER - 200).0, 1);
    assert_eq!(check(&mut watch, NOT_AFTER - 8 * DAY), (0, DAY_SECONDS));
}

#[test]
fn next_check_is_that_of_the_first_expiry() {
    let mut watch = watch(&[NOT_AFTER, NOT_AFTER + 5, NOT_AFTER + 30 * DAY]);
    assert_eq!(check(&mut watch, NOT_AFTER - 50), (2, 51));
    assert_eq!(check(&mut watch, NOT_AFTER + 1), (1, 5));
    assert_eq!(check(&mut watch, NOT_AFTER + 6), (1, DAY_SECONDS - 5));
    let nothing = ExpiryWatch::default().check(Duration::ZERO);
    assert_eq!((nothing.warnings.len(), nothing.next), (0, None));
}

#[test]
fn announcement_has_date_effect_and_next_step() {
    let mut item = watch(&[NOT_AFTER]).items.remove(0);
    let near = item.announcement(NOT_AFTER);
    assert_eq!(
        near,
        "the server certificate \"CN=a\" in /a.pem expires on 2027-01-15 08:00:00 UTC: install a \
         new one and reload"
    );
    for (effect, text) in [
        (Effect::ServerRejected, "UTC: clients reject it; install"),
        (
            Effect::ClientsRejected,
            "UTC: clients whose certificates depend on it are rejected; install",
        ),
        (
            Effect::RevocationsUnknown,
            "UTC: certificates revoked after that date are still accepted; install",
        ),
    ] {
        item.effect = effect;
        let expired = item.announcement(NOT_AFTER + 1);
        assert!(expired.contains(" expired on 2027-01-15"), "{expired}");
        assert!(expired.contains(text), "{expired}");
    }
}

#[test]
fn every_loaded_certificate_and_list_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let chain = test_support::tls::Chain::in_dir(dir.path());
    chain.join(&["root.pem", "brief.pem"], "ca.pem");
    chain.join(&["server.pem", "intermediate.pem"], "both.pem");
    chain.join(&["revoked.crl", "indirect-revoked.crl"], "lists.crl");
    let files = TlsFiles {
        ca: chain.path("ca.pem"),
        crl: Some(chain.path("lists.crl")),
        server: vec![files::ServerFiles {
            certificate: chain.path("both.pem"),
            key: chain.path("server.key"),
        }],
    };
    let loaded = LoadedFiles::load(&files, true).unwrap();
    let mut watch = ExpiryWatch::new(&loaded, &files);
    // In 2128 all have expired.
    let found = watch.check(Duration::from_secs(5_000_000_000)).warnings;
    let shown = found.iter().map(|text| {
        let text = text.replace(&format!("{}/", dir.path().display()), "");
        let (text, _) = text.split_once("; install").unwrap();
        text.replace("-01-01 00:00:00 UTC", "")
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            "the CA certificate \"CN=eventry root\" in ca.pem expired on 2120: clients whose \
             certificates depend on it are rejected",
            "the CA certificate \"CN=eventry brief\" in ca.pem expired on 2090: clients whose \
             certificates depend on it are rejected",
            "the server certificate \"O=eventry,CN=server\" in both.pem expired on 2100: \
             clients reject it",
            "the intermediate certificate \"CN=eventry intermediate\" in both.pem expired on \
             2100: clients reject it",
            "the certificate revocation list \"CN=eventry root\" in lists.crl expired on 2050: \
             certificates revoked after that date are still accepted",
            "the certificate revocation list \"CN=eventry intermediate\" in lists.crl expired \
             on 2050: certificates revoked after that date are still accepted",
        ]
    );
}
