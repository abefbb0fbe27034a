//! Every setting that can be reloaded, together with every failure of a reload.

use super::*;
use crate::auth::{DEFAULT_ITERATIONS, PasswordChange, change_password};
use crate::config::{ConfigFormat, SETTING_GROUPS, SettingType, setting_specs};
use crate::driver::{Driver, MemoryDriver};
use crate::net::RunDir;
use crate::server::{Config, DaemonError, Ready, run};
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use tempfile::TempDir;
use test_support::tls::{committed_files, set_mode};

/// A daemon with TLS and SASL on threads of this process, its files, and its handler of SIGHUP.
struct Fixture {
    dir: TempDir,
    ready: Ready,
    ended: JoinHandle<Result<(), DaemonError>>,
    reloader: Reloader,
}

impl Fixture {
    fn start() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        create_passwords(dir.path());
        restore_files(dir.path());
        fs::write(path("a.conf"), baseline(dir.path())).unwrap();
        let location = ConfigLocation::File(path("a.conf"), ConfigFormat::Libvirt);
        let overrides = Overrides::new(Config::new(RunDir::Chosen(path("run"))));
        let mut inputs = ConfigInputs::new(location, overrides);
        let loaded = inputs.load().unwrap();
        // Not installed, because other tests of this process have a log of their own.
        let logger = Logger::open(&loaded.log).unwrap();
        let service_manager = ServiceManager::default();
        let reloader = Reloader::new(inputs, logger, loaded.clone(), service_manager);
        let (ready_sender, ready) = channel();
        let config = loaded.daemon;
        let ended = thread::spawn(move || {
            let driver = || Ok::<_, Infallible>(Arc::new(MemoryDriver::new()) as Arc<dyn Driver>);
            run(&config, driver, |ready| ready_sender.send(ready).unwrap())
        });
        Fixture {
            ready: ready.recv().expect("the daemon starts"),
            dir,
            ended,
            reloader,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Handles a SIGHUP. Returns everything in force afterwards.
    fn reload(&self) -> String {
        let (end_sender, ended) = channel();
        let reloader = self.reloader.clone();
        self.ready
            .control
            .run_on_loop(Duration::ZERO, move |control| {
                reloader.request(control);
                wait_for_end(reloader, control, end_sender);
            });
        ended
            .recv_timeout(Duration::from_secs(30))
            .expect("the reload ends");
        self.in_force()
    }

    fn in_force(&self) -> String {
        let current = &self.reloader.0.state.lock().current;
        format!(
            "{:?}\n{:?}\n{:?}",
            self.ready.control, current.log, current.settings
        )
    }

    fn stop(self) {
        self.ready.shutdown.request();
        self.ended.join().unwrap().unwrap();
    }
}

/// Sends a message when no reload runs.
fn wait_for_end(reloader: Reloader, control: &Control, ended: std::sync::mpsc::Sender<()>) {
    let is_over = reloader.0.state.lock().waiting_for.is_empty();
    if is_over {
        ended.send(()).unwrap();
    } else {
        control.run_on_loop(Duration::from_millis(1), move |control| {
            wait_for_end(reloader, control, ended);
        });
    }
}

/// Creates password files with one and with two users, which are copied later: each hash takes time.
fn create_passwords(dir: &Path) {
    for (name, user) in [("one-user", "fred"), ("two-users", "ann")] {
        let change = PasswordChange::Set {
            password: b"pencil",
            iterations: DEFAULT_ITERATIONS.min(4096.try_into().unwrap()),
        };
        change_password(&dir.join("hashes"), user, change).unwrap();
        fs::copy(dir.join("hashes"), dir.join(name)).unwrap();
    }
}

/// Creates the files that the configuration names, in their original form, and others with the prefix `new-`.
fn restore_files(dir: &Path) {
    let chain = committed_files().ca.with_file_name("chain");
    for (name, file) in [
        ("ca.pem", "root.pem"),
        ("server.pem", "server.pem"),
        ("server.key", "server.key"),
        ("list.crl", "revoked.crl"),
    ] {
        for copy in [dir.join(name), dir.join(format!("new-{name}"))] {
            fs::copy(chain.join(file), &copy).unwrap();
            set_mode(&copy, 0o600);
        }
    }
    fs::copy(dir.join("one-user"), dir.join("passwords")).unwrap();
    fs::copy(dir.join("two-users"), dir.join("new-passwords")).unwrap();
}

/// Returns the configuration at the start: `name = value` per line, without the settings at their default.
fn baseline(dir: &Path) -> String {
    let settings = [
        ("listen_tls", "1".to_owned()),
        ("tls_port", "\"0\"".to_owned()),
        ("listen_addr", "\"127.0.0.1\"".to_owned()),
        ("auth_tls", "\"sasl\"".to_owned()),
        ("ca_file", format!("\"{}/ca.pem\"", dir.display())),
        ("crl_file", format!("\"{}/list.crl\"", dir.display())),
        ("cert_file", format!("\"{}/server.pem\"", dir.display())),
        ("key_file", format!("\"{}/server.key\"", dir.display())),
        (
            "eventry_sasl_password_file",
            format!("\"{}/passwords\"", dir.display()),
        ),
        ("log_outputs", format!("\"4:file:{}/log\"", dir.display())),
    ];
    let lines = settings.map(|(name, value)| format!("{name} = {value}\n"));
    lines.concat()
}

/// Returns the configuration with another value of one setting.
fn changed(dir: &Path, spec: &SettingSpec) -> String {
    let before = baseline(dir);
    let without = |names: &[&str]| -> String {
        let is_kept = |line: &&str| {
            !names
                .iter()
                .any(|name| line.starts_with(&format!("{name} = ")))
        };
        before
            .lines()
            .filter(is_kept)
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let shown = dir.display();
    if ["cert_files", "key_files"].contains(&spec.name) {
        let lists = format!(
            "cert_files = [ \"{shown}/server.pem\" ]\nkey_files = [ \"{shown}/server.key\" ]\n"
        );
        return without(&["cert_file", "key_file"]) + &lists;
    }
    let default = spec.default_value().map(|value| value.to_string());
    let number = default
        .and_then(|text| text.parse::<i64>().ok())
        .unwrap_or(0);
    let value = match (spec.name, spec.value_type) {
        ("log_filters", _) => "\"1:server\"".to_owned(),
        ("log_outputs", _) => format!("\"4:file:{shown}/other.log\""),
        ("tls_priority", _) => "\"NORMAL:-VERS-TLS1.3\"".to_owned(),
        ("crl_file", _) => "\"/nowhere/crl\"".to_owned(),
        (_, SettingType::Bool) => (1 - number).to_string(),
        (_, SettingType::Unsigned { .. } | SettingType::Signed) => (number + 1).to_string(),
        (_, SettingType::Path) => before
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{} = ", spec.name)))
            .map(|path| path.replace(&format!("{shown}/"), &format!("{shown}/new-")))
            .unwrap_or_else(|| panic!("the baseline has no path for {}", spec.name)),
        (_, SettingType::List) => "[ \"one\" ]".to_owned(),
        (name, of) => panic!("the test has no other value for {name}, which is {of:?}"),
    };
    without(&[spec.name]) + &format!("{} = {value}\n", spec.name)
}

/// Makes a reload fail, after the configuration with the changed setting was written.
type Failure = (&'static str, fn(&Path));

fn append(dir: &Path, line: &str) {
    let text = fs::read_to_string(dir.join("a.conf")).unwrap();
    // Of several settings with one name the first applies.
    fs::write(dir.join("a.conf"), format!("{line}\n{text}")).unwrap();
}

fn spoil(dir: &Path, name: &str, contents: &str) {
    for name in [name.to_owned(), format!("new-{name}")] {
        fs::write(dir.join(name), contents).unwrap();
    }
}

const FAILURES: &[Failure] = &[
    ("configuration missing", |dir| {
        fs::remove_file(dir.join("a.conf")).unwrap()
    }),
    ("configuration is a directory", |dir| {
        fs::remove_file(dir.join("a.conf")).unwrap();
        fs::create_dir(dir.join("a.conf")).unwrap();
    }),
    ("configuration is a socket", |dir| {
        fs::remove_file(dir.join("a.conf")).unwrap();
        std::os::unix::net::UnixListener::bind(dir.join("a.conf")).unwrap();
    }),
    ("syntax", |dir| append(dir, "max_clients = [")),
    ("misspelt setting", |dir| append(dir, "max_client = 1")),
    ("wrong value", |dir| {
        append(dir, "unix_sock_ro_perms = \"9\"")
    }),
    ("contradiction", |dir| {
        append(dir, "max_clients = 5\nmax_anonymous_clients = 6")
    }),
    ("address without its authentication", |dir| {
        append(dir, "listen_tcp = 1")
    }),
    ("log file", |dir| {
        append(dir, "log_outputs = \"1:file:/nowhere/log\"")
    }),
    ("pid file as log file", |dir| {
        let (log, pid) = (dir.join("same"), dir.join("link"));
        let _ = std::os::unix::fs::symlink(&pid, &log);
        let (log, pid) = (log.display(), pid.display());
        let text = format!("log_outputs = \"1:file:{log}\"\neventry_pid_file = \"{pid}\"");
        append(dir, &text);
    }),
    ("pid file in use as log file", |dir| {
        let pid = dir.join("run/eventryd.pid");
        append(
            dir,
            &format!(
                "log_outputs = \"1:file:{}\"\nunix_sock_dir = \"/run\"",
                pid.display()
            ),
        );
    }),
    ("log output", |dir| append(dir, "log_outputs = \"1:file\"")),
    ("authority", |dir| spoil(dir, "ca.pem", "nothing")),
    ("certificate", |dir| spoil(dir, "server.pem", "nothing")),
    ("key", |dir| spoil(dir, "server.key", "nothing")),
    ("revocation list", |dir| {
        append(dir, &format!("crl_file = \"{}/ca.pem\"", dir.display()))
    }),
    ("password file", |dir| spoil(dir, "passwords", "broken\n")),
    ("mode of the password file", |dir| {
        for name in ["passwords", "new-passwords"] {
            let mode = fs::Permissions::from_mode(0o644);
            fs::set_permissions(dir.join(name), mode).unwrap();
        }
    }),
];

fn remove_config(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
}

/// DM-1306. A setting that is added to the table takes part by itself.
#[test]
fn failed_reload_changes_nothing_for_any_setting() {
    let fixture = Fixture::start();
    let dir = fixture.dir.path();
    let reloadable = setting_specs().filter(|spec| {
        matches!(
            spec.reload_effect,
            ReloadEffect::Immediate | ReloadEffect::NewConnections
        )
    });
    let mut before = fixture.in_force();
    for spec in reloadable {
        for (failure, cause) in FAILURES {
            remove_config(&fixture.path("a.conf"));
            fs::write(fixture.path("a.conf"), changed(dir, spec)).unwrap();
            // A reload that reads the passwords has an effect.
            fs::copy(dir.join("two-users"), dir.join("passwords")).unwrap();
            cause(dir);
            let after = fixture.reload();
            assert_eq!(before, after, "{} with a failure: {failure}", spec.name);
            restore_files(dir);
        }
        remove_config(&fixture.path("a.conf"));
        fs::write(fixture.path("a.conf"), changed(dir, spec)).unwrap();
        let after = fixture.reload();
        assert_ne!(
            effects(&before, spec),
            effects(&after, spec),
            "{} has no effect",
            spec.name
        );
        fs::write(fixture.path("a.conf"), baseline(dir)).unwrap();
        before = fixture.reload();
    }
    fixture.stop();
}

/// Returns what shows the effect of a setting: not the settings as they are written in the file, and the identity of the
/// keys, which every reload changes, for settings of TLS only.
fn effects(in_force: &str, spec: &SettingSpec) -> String {
    let text = in_force.rsplit_once('\n').unwrap().0;
    let is_about_tls = SETTING_GROUPS
        .iter()
        .any(|group| group.title == "TLS" && group.specs.contains(spec));
    let is_kept = |word: &&str| is_about_tls || !word.contains("0x");
    text.split(' ').filter(is_kept).collect()
}
