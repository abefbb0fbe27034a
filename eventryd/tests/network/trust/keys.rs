//! Private keys.

use super::Setup;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::{Path, PathBuf};
use test_support::tls::set_mode;

#[test]
fn key_that_all_users_can_read_is_refused() {
    let setup = Setup::new();
    let key = setup.chain.path("server.key");
    for (mode, access) in [
        (0o644, "read it"),
        (0o604, "read it"),
        (0o602, "change it"),
        (0o666, "read and change it"),
    ] {
        set_mode(&key, mode);
        let shown = setup.start_error("");
        let expected = format!(
            "eventryd.conf:8:12: the private key {0} has mode {mode:04o}: all users can {access}; run `chmod 600 {0}`",
            key.display()
        );
        assert!(shown.contains(&expected), "{shown}");
    }
    let running = setup.start("tls_no_verify_key_mode = 1\n");
    running.assert_logged("has mode 0666: all users can read and change it; run `chmod 600 ");
    assert!(running.accepts("direct"));
}

#[test]
fn key_of_another_kind_is_named_before_its_mode() {
    let setup = Setup::new();
    let key = setup.chain.path("server.key");
    std::fs::copy(setup.chain.path("server.pem"), &key).unwrap();
    set_mode(&key, 0o644);
    let config = setup.chain.path("eventryd.conf").display().to_string();
    let line = format!("{config}:8:12: ");
    let shown = setup.start_error("");
    let expected = format!(
        "{line}no usable private key in {}: the file contains none in PEM format",
        key.display()
    );
    assert!(shown.contains(&expected), "{shown}");
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    let shown = setup.start_error("");
    let expected = format!(
        "{line}cannot read the private key {}: Is a directory",
        key.display()
    );
    assert!(shown.contains(&expected), "{shown}");
    assert!(!shown.contains("chmod"), "{shown}");
}

#[test]
fn key_that_its_owner_can_read_causes_no_warning() {
    let setup = Setup::new();
    set_mode(&setup.chain.path("server.key"), 0o400);
    let running = setup.start("");
    assert!(running.accepts("direct"));
    assert!(!running.log().contains(" has mode "), "{}", running.log());
}

/// Libvirt's set-ups have keys of root:qemu with mode 0640.
#[test]
fn key_that_its_group_can_read_causes_a_warning() {
    let setup = Setup::new();
    let key = setup.chain.path("server.key");
    let own = rustix::process::getegid().as_raw();
    // Only root can choose a group here. Other users have a group of their own, or share one.
    let group = if own == 0 { 107 } else { own };
    chown(&key, None, Some(group)).unwrap();
    set_mode(&key, 0o640);
    let running = setup.start("");
    running.assert_logged(&format!(
        "has mode 0640: the members of group {group} can read it; run `chmod 600 "
    ));
    assert!(running.accepts("direct"));
}

/// The daemon judges the file that it reads, not the name.
#[test]
fn key_behind_a_symbolic_link_is_judged_by_its_mode() {
    let setup = Setup::new();
    let (key, real) = (setup.chain.path("server.key"), setup.chain.path("real.key"));
    std::fs::rename(&key, &real).unwrap();
    std::os::unix::fs::symlink(&real, &key).unwrap();
    set_mode(&real, 0o644);
    let shown = setup.start_error("");
    assert!(shown.contains("has mode 0644"), "{shown}");
    set_mode(&real, 0o600);
    assert!(setup.start("").accepts("direct"));
}

#[test]
fn reload_refuses_a_key_that_all_users_can_read() {
    let mut running = Setup::new().start("");
    set_mode(&running.chain.path("server.key"), 0o644);
    running.reload();
    running.assert_logged("has mode 0644");
    assert!(running.accepts("direct"));
    set_mode(&running.chain.path("server.key"), 0o600);
    running.reload();
    assert!(running.accepts("direct"));
}

/// Starts a daemon whose server key rustls cannot use, and returns its messages.
fn start_error_with(server: &'static str) -> String {
    let mut setup = Setup::new();
    setup.server = server;
    setup.start_error("")
}

#[test]
#[cfg(not(feature = "tls-aws-lc"))]
fn p521_key_names_the_feature_that_serves_it() {
    let shown = start_error_with("p521");
    let expected = "the key is P-521, which the default build does not support; build with \
                    --features tls-aws-lc";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
#[cfg(feature = "tls-aws-lc")]
fn p521_key_serves_clients_that_can_verify_it() {
    use rustls::crypto::aws_lc_rs;
    use test_support::tls::{Tls, handshake};
    let mut setup = Setup::new();
    setup.server = "p521";
    let running = setup.start("");
    let config = running
        .chain
        .client_by(aws_lc_rs::default_provider(), "direct");
    let stream = std::net::TcpStream::connect(running.address).unwrap();
    handshake(Tls::over(stream, config)).open();
}

/// rustls rejects the key without a reason that helps.
#[test]
fn short_rsa_key_names_its_length() {
    let setup = Setup::new();
    let key = setup.chain.path("server.key");
    std::fs::copy(setup.chain.path("rsa-1024.key"), &key).unwrap();
    set_mode(&key, 0o600);
    let shown = setup.start_error("");
    let expected = format!(
        "no usable private key in {}: it is RSA with 1024 bits; at least 2048 are needed; create a longer key, such as \
         by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`, and a certificate for it\n",
        key.display()
    );
    assert!(shown.contains(&expected), "{shown}");
}

#[test]
fn rsa_pss_key_names_the_kind_that_can_be_used() {
    let shown = start_error_with("rsa-pss");
    let expected =
        "the key is restricted to RSA-PSS (id-RSASSA-PSS), which rustls does not support";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn key_of_another_user_causes_a_warning() {
    if !rustix::process::geteuid().is_root() {
        test_support::not_run(
            "key_of_another_user_causes_a_warning",
            "only root gives files away",
        );
        return;
    }
    let setup = Setup::new();
    chown(setup.chain.path("server.key"), Some(65534), None).unwrap();
    let running = setup.start("");
    running.assert_logged("server.key belongs to the user 65534, who can use it; run `chown 0 ");
    assert!(running.accepts("direct"));
}

/// Returns settings that name the key by this path.
fn naming_key(setup: &Setup, key: &Path) -> String {
    let certificate = setup.chain.path("server.pem");
    format!(
        "cert_files = [ '{}' ]\nkey_files = [ '{}' ]\n",
        certificate.display(),
        key.display()
    )
}

/// Creates a directory with this mode.
fn directory(setup: &Setup, name: &str, mode: u32) -> PathBuf {
    let directory = setup.chain.path(name);
    std::fs::create_dir(&directory).unwrap();
    set_mode(&directory, mode);
    directory
}

/// Each user could put another key in the place of this one, whatever its mode is.
#[test]
fn key_that_all_users_can_replace_is_refused() {
    let setup = Setup::new();
    let open = directory(&setup, "open", 0o777);
    let inner = directory(&setup, "open/inner", 0o755);
    std::fs::copy(setup.chain.path("server.key"), inner.join("a.key")).unwrap();
    let real = std::fs::canonicalize(&open).unwrap();
    symlink("a.key", inner.join("link.key")).unwrap();
    symlink(inner.join("a.key"), setup.chain.path("outer.key")).unwrap();
    symlink(setup.chain.path("server.key"), open.join("open.key")).unwrap();
    let keys = [
        "open/inner/a.key",
        "open/inner/link.key",
        "outer.key",
        "open/open.key",
    ];
    for key in keys.map(|name| setup.chain.path(name)) {
        let lines = naming_key(&setup, &key);
        let shown = setup.start_error(&lines);
        let expected = format!(
            "the private key {} can be replaced by all users: the directory {1} has mode 0777, in which others may write; \
             run `chmod o-w {1}`, or set tls_no_verify_key_mode",
            key.display(),
            real.display()
        );
        assert!(shown.contains(&expected), "{shown}");
        assert!(shown.contains("eventryd.conf:8:"), "{shown}");
    }
    let lines = naming_key(&setup, &setup.chain.path("outer.key"));
    let running = setup.start(&(lines + "tls_no_verify_key_mode = 1\n"));
    running.assert_logged("outer.key can be replaced by all users: the directory ");
    assert!(running.accepts("direct"));
}

#[test]
fn reload_refuses_a_key_that_all_users_can_replace() {
    let setup = Setup::new();
    let key = directory(&setup, "of-key", 0o755).join("a.key");
    std::fs::copy(setup.chain.path("server.key"), &key).unwrap();
    let lines = naming_key(&setup, &key);
    let mut running = setup.start(&lines);
    set_mode(key.parent().unwrap(), 0o757);
    running.reload();
    running.assert_logged("has mode 0757, in which others may write");
    running.assert_logged("nothing is changed");
    assert!(running.accepts("direct"));
}

#[test]
fn sticky_directory_protects_a_key() {
    let setup = Setup::new();
    let key = directory(&setup, "sticky", 0o1777).join("a.key");
    std::fs::copy(setup.chain.path("server.key"), &key).unwrap();
    let lines = naming_key(&setup, &key);
    let running = setup.start(&lines);
    assert!(running.accepts("direct"));
    assert!(
        !running.log().contains("can be replaced"),
        "{}",
        running.log()
    );
}

#[test]
fn key_in_a_directory_of_a_group_causes_a_warning() {
    let setup = Setup::new();
    let key = directory(&setup, "of-group", 0o770).join("a.key");
    let own = rustix::process::getegid().as_raw();
    let group = if own == 0 { 107 } else { own };
    chown(key.parent().unwrap(), None, Some(group)).unwrap();
    std::fs::copy(setup.chain.path("server.key"), &key).unwrap();
    let lines = naming_key(&setup, &key);
    let running = setup.start(&lines);
    running.assert_logged(&format!(
        "a.key can be replaced by the members of group {group}: the directory "
    ));
    assert!(running.accepts("direct"));
}

#[test]
fn key_in_a_directory_of_another_user_causes_a_warning() {
    if !rustix::process::geteuid().is_root() {
        test_support::not_run(
            "key_in_a_directory_of_another_user_causes_a_warning",
            "only root gives directories away",
        );
        return;
    }
    for is_link in [false, true] {
        let setup = Setup::new();
        let (place, mode) = if is_link {
            ("sticky", 0o1777)
        } else {
            ("of-other", 0o755)
        };
        let key = directory(&setup, place, mode).join("a.key");
        let expected = if is_link {
            symlink(setup.chain.path("server.key"), &key).unwrap();
            lchown(&key, Some(65534), None).unwrap();
            "a.key can be replaced by the user 65534: the symbolic link "
        } else {
            std::fs::copy(setup.chain.path("server.key"), &key).unwrap();
            chown(key.parent().unwrap(), Some(65534), None).unwrap();
            "a.key can be replaced by the user 65534: the directory "
        };
        let lines = naming_key(&setup, &key);
        let running = setup.start(&lines);
        running.assert_logged(expected);
        assert!(running.accepts("direct"));
    }
}
