//! The peers, and the programs that measure them.

use crate::rows::{Case, Floor};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// Option of this program in a process that measures one case.
pub(crate) const MEASURE: &str = "--measure";

/// The names of all peers, in the order of the columns.
pub(crate) const NAMES: [&str; 6] = ["eventry", "eventry-c", "libevent", "libuv", "glib", "tokio"];

/// The packages of the peers that pkg-config finds.
const PACKAGES: [(&str, &[&str]); 3] = [
    ("libevent", &["libevent_core", "libevent_pthreads"]),
    ("libuv", &["libuv"]),
    ("glib", &["glib-2.0"]),
];

/// A column of the table.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Program that measures it and its first arguments, or the reason why there is none.
    pub(crate) program: Result<Vec<String>, String>,
}

impl Peer {
    /// Finds a peer and builds its program.
    pub(crate) fn build(name: &'static str) -> Peer {
        let program = match name {
            "eventry" => Ok(own_program(name)),
            "eventry-c" => build_eventry_c(),
            "tokio" => build_tokio(),
            _ => build_with_package(name),
        };
        Peer { name, program }
    }
}

/// Returns the command of a measurement of the floor.
pub(crate) fn floor_program(floor: Floor) -> Vec<String> {
    own_program(match floor {
        Floor::Bare => "floor",
        Floor::Locked => "locked floor",
    })
}

/// Returns the command that measures a case with a peer's program.
pub(crate) fn command(program: &[String], case: &Case, duration: Duration) -> Command {
    let mut command = Command::new(&program[0]);
    let duration = duration * case.longer;
    command
        .args(&program[1..])
        .arg(case.workload)
        .arg(duration.as_millis().to_string())
        .args(case.numbers.iter().map(u64::to_string));
    command
}

fn own_program(peer: &str) -> Vec<String> {
    let program = env::current_exe().expect("the path of this program is known");
    let program = program.display().to_string();
    vec![program, MEASURE.to_owned(), peer.to_owned()]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the directory of the built programs, `loops` in the target directory, and creates it.
fn build_directory() -> Result<PathBuf, String> {
    let program = env::current_exe().expect("the path of this program is known");
    // Cargo puts this program into `release/deps` of the target directory.
    let target = program.ancestors().nth(3).unwrap_or(Path::new("target"));
    let directory = target.join("loops");
    fs::create_dir_all(&directory)
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    Ok(directory)
}

fn build_with_package(name: &'static str) -> Result<Vec<String>, String> {
    let packages = PACKAGES.iter().find(|(peer, _)| *peer == name);
    let (_, packages) = packages.ok_or("not known")?;
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.args(["--cflags", "--libs"]).args(*packages);
    let flags = pkg_config
        .output()
        .ok()
        .filter(|output| output.status.success());
    let flags = flags.ok_or("not installed")?;
    let flags = String::from_utf8_lossy(&flags.stdout);
    compile(name, flags.split_whitespace())
}

/// Builds the C library with cargo, and the program with it.
fn build_eventry_c() -> Result<Vec<String>, String> {
    let directory = build_directory()?;
    let mut cargo = cargo("rustc", "Cargo.toml", &directory.join("capi"));
    cargo.args([
        "-p",
        "eventry",
        "--lib",
        "--no-default-features",
        "--features",
        "capi",
    ]);
    cargo.args(["--crate-type", "staticlib"]);
    succeed(&mut cargo)?;
    let library = directory.join("capi/release/libeventry.a");
    let include = root().join("include");
    let (include, library) = (
        format!("-I{}", include.display()),
        library.display().to_string(),
    );
    compile(
        "eventry-c",
        [include.as_str(), library.as_str(), "-ldl", "-lm"],
    )
}

fn build_tokio() -> Result<Vec<String>, String> {
    let target = build_directory()?.join("tokio");
    succeed(&mut cargo("build", "benches/tokio/Cargo.toml", &target))?;
    Ok(vec![
        target.join("release/loops-tokio").display().to_string(),
    ])
}

/// Returns a release build that changes no lock file.
fn cargo(task: &str, manifest: &str, target: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([task, "--release", "--locked", "--quiet", "--manifest-path"]);
    cargo
        .arg(root().join(manifest))
        .arg("--target-dir")
        .arg(target);
    cargo
}

/// Compiles the C program for a peer. Its interface to the peer is `c/PEER.h`.
fn compile<'a>(
    name: &str,
    flags: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, String> {
    let program = build_directory()?.join(name);
    let mut compiler = Command::new("cc");
    compiler.args([
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
    ]);
    compiler.arg(format!("-DPEER_HEADER=\"{name}.h\""));
    compiler.arg(root().join("benches/loops/c/main.c"));
    compiler.arg("-o").arg(&program).args(flags);
    succeed(&mut compiler)?;
    Ok(vec![program.display().to_string()])
}

/// Runs a build. On failure, the first lines of its messages are the reason.
fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stderr, .. } = command
        .output()
        .map_err(|error| format!("not built: cannot run {name}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&stderr);
    let messages: Vec<&str> = messages.lines().take(5).collect();
    Err(format!("not built: {name} failed: {}", messages.join("; ")))
}
