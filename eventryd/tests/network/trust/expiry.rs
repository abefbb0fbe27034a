//! Certificates that expire while the daemon runs, with the clock of the test.

use eventryd::driver::{Driver, MemoryDriver};
use eventryd::net::{RunDir, TransportKind};
use eventryd::server::{Config, DaemonError, Ready};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use test_support::in_process::{InProcess, address_of, loopback_tls};
use test_support::timeout::wait_until;
use test_support::tls::Chain;
use tracing_subscriber::fmt::MakeWriter;

const DAY: u64 = 86_400;

/// The first second of certificates in `pki/chain`: 2020-01-01.
const BEGIN: u64 = 1_577_836_800;
/// The last second of the authority `brief`: 2090-01-01.
const END_OF_BRIEF: u64 = 3_786_912_000;
/// The last second of servers and clients: 2100-01-01.
const END: u64 = 4_102_444_800;
/// The last second of the revocation lists: 2050-01-01.
const END_OF_LISTS: u64 = 2_524_608_000;

/// The log of the daemons in this process.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log
});

#[derive(Clone, Default)]
#[allow(clippy::disallowed_types, reason = "the log of a test")]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

struct InTime {
    daemon: InProcess,
    ready: Ready,
    config: Config,
    chain: Chain,
    _dir: TempDir,
}

impl InTime {
    /// Starts a daemon with this clock, which trusts the authorities in `ca`.
    fn start(ca: &[&str], clock: fn() -> Duration, change: impl FnOnce(&Chain)) -> InTime {
        LazyLock::force(&LOG);
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::in_dir(dir.path());
        chain.join(ca, "ca.pem");
        change(&chain);
        let mut config = Config::new(RunDir::Chosen(dir.path().join("run")));
        config.tls = Some(loopback_tls(chain.files("server")));
        config.wall_clock = clock;
        let driver = || -> Arc<dyn Driver> { Arc::new(MemoryDriver::with_hostname("example")) };
        let daemon = InProcess::start(&config, driver);
        let ready = daemon.ready();
        InTime {
            daemon,
            ready,
            config,
            chain,
            _dir: dir,
        }
    }

    fn address(&self) -> SocketAddr {
        address_of(&self.ready, TransportKind::Tls)
    }

    fn reload(&self) -> Result<(), DaemonError> {
        let control = &self.ready.control;
        let prepared = control.prepare(&self.config, |_| ())?;
        control.commit(prepared);
        Ok(())
    }

    fn accepts(&self, client: &str) -> bool {
        self.chain.connect(client, self.address()).is_some()
    }

    /// Returns the announcements of this daemon.
    fn announced(&self) -> Vec<String> {
        let dir = self.chain.path("").display().to_string();
        let log = LOG.text();
        let lines = log.lines().filter(|line| line.contains(&dir));
        lines.map(str::to_owned).collect()
    }

    #[track_caller]
    fn assert_announced(&self, count: usize, text: &str) {
        wait_until(text, || {
            let lines = self.announced();
            lines.iter().filter(|line| line.contains(text)).count() == count
        });
    }

    fn stop(self) {
        self.ready.shutdown.request();
        self.daemon.wait().unwrap();
    }
}

static AUTHORITY: AtomicU64 = AtomicU64::new(END_OF_BRIEF - 1);

#[test]
fn authority_expired_since_its_load_is_not_trusted() {
    let set = |now| AUTHORITY.store(now, Ordering::Relaxed);
    let clock = || Duration::from_secs(AUTHORITY.load(Ordering::Relaxed));
    let daemon = InTime::start(&["root.pem", "brief.pem"], clock, |_| ());
    for (now, lasting, direct) in [
        (END_OF_BRIEF - 1, true, true),
        (END_OF_BRIEF, true, true),
        (END_OF_BRIEF + 1, false, true),
        // The dates of the client itself count too.
        (END, false, true),
        (END + 1, false, false),
        (BEGIN, true, true),
        (BEGIN - 1, false, false),
    ] {
        set(now);
        assert_eq!(daemon.accepts("lasting"), lasting, "{now}");
        assert_eq!(daemon.accepts("direct"), direct, "{now}");
    }
    daemon.stop();
}

static SERVER: AtomicU64 = AtomicU64::new(END - 7 * DAY - 1);

#[test]
fn server_certificate_is_announced_a_week_ahead() {
    let clock = || Duration::from_secs(SERVER.load(Ordering::Relaxed));
    let daemon = InTime::start(&["root.pem"], clock, |_| ());
    let text = "the server certificate \"O=eventry,CN=server\" in ";
    assert!(daemon.accepts("direct"));
    daemon.assert_announced(0, text);
    // The daemon checks again after the second that is left.
    SERVER.store(END - 7 * DAY, Ordering::Relaxed);
    daemon.assert_announced(1, text);
    daemon.assert_announced(1, "expires on 2100-01-01 00:00:00 UTC: install a new one");
    // A reload announces what is in force then.
    daemon.reload().unwrap();
    daemon.assert_announced(2, text);
    daemon.stop();
}

static EXPIRED_SERVER: AtomicU64 = AtomicU64::new(END - 1);

#[test]
fn server_certificate_that_expires_is_announced_at_once() {
    let clock = || Duration::from_secs(EXPIRED_SERVER.load(Ordering::Relaxed));
    let daemon = InTime::start(&["root.pem"], clock, |_| ());
    daemon.assert_announced(1, " expires on 2100-01-01");
    EXPIRED_SERVER.store(END + 1, Ordering::Relaxed);
    daemon.assert_announced(1, " expired on 2100-01-01 00:00:00 UTC: clients reject it");
    // The expired certificate stays in force, and is not loaded again.
    let refused = daemon.reload().unwrap_err();
    assert!(refused.to_string().contains("it has expired"), "{refused}");
    daemon.stop();
}

static LIST: AtomicU64 = AtomicU64::new(0);

#[test]
fn list_that_expires_while_serving_still_applies() {
    let clock = || Duration::from_secs(LIST.load(Ordering::Relaxed));
    for is_required in [false, true] {
        LIST.store(END_OF_LISTS - 1, Ordering::Relaxed);
        let mut daemon = InTime::start(&["root.pem"], clock, |chain| {
            chain.join(&["revoked.crl"], "lists.crl");
        });
        let list = "the certificate revocation list \"CN=eventry root\" in ";
        daemon.assert_announced(1, list);
        daemon
            .config
            .tls
            .as_mut()
            .unwrap()
            .settings
            .require_current_crl = is_required;
        daemon.reload().unwrap();
        assert!(daemon.accepts("direct") && !daemon.accepts("revoked"));
        daemon.assert_announced(2, list);
        LIST.store(END_OF_LISTS + 1, Ordering::Relaxed);
        assert_eq!(daemon.accepts("direct"), !is_required);
        assert!(!daemon.accepts("revoked"));
        daemon.assert_announced(1, " expired on 2050-01-01 00:00:00 UTC");
        daemon.stop();
    }
}

#[test]
fn every_certificate_in_the_files_is_announced() {
    let before_brief = || Duration::from_secs(END_OF_BRIEF - DAY);
    let daemon = InTime::start(&["root.pem", "brief.pem"], before_brief, |_| ());
    daemon.assert_announced(1, "the CA certificate \"CN=eventry brief\" in ");
    daemon.stop();

    let before_chain = || Duration::from_secs(END - DAY);
    let daemon = InTime::start(&["root.pem"], before_chain, |chain| {
        chain.join(&["indirect.pem"], "server.pem");
        chain.join(&["indirect.key"], "server.key");
    });
    daemon.assert_announced(1, "the server certificate \"O=eventry,CN=indirect\" in ");
    let authority = "the intermediate certificate \"CN=eventry intermediate\" in ";
    daemon.assert_announced(1, authority);
    daemon.stop();
}
