# shellcheck shell=sh disable=SC2154 # the caller sets root and say_as
# Functions for ./run, ./tests/run and tools/msrv, which source this file: detection of a C compiler and a recent Rust, and
# installation of Debian packages. POSIX sh. The caller sets `root`, the directory of the repository, and `say_as`, its
# name in messages.

# The minimum Rust version, from Cargo.toml.
rust_version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")

say() { echo "$say_as: $*" >&2; }

# Prints the packages of this system with at least that version: "RUSTC CARGO CLIPPY RUSTFMT". Fails if there are none.
rust_packages() {
    case $(debian) in
        12) echo rustc-web cargo-web rust-web-clippy rustfmt-web ;;
        13) echo rustc cargo rust-clippy rustfmt ;;
        *) return 1 ;;
    esac
}

# Prints the release number on Debian, and nothing on other systems.
debian() {
    [ -r /etc/os-release ] || return 0
    (
        ID='' VERSION_ID=''
        . /etc/os-release
        [ "$ID" != debian ] || echo "$VERSION_ID"
    )
}

# Succeeds if there are a cargo and a rustc of at least version $rust_version, also in rustup's directory.
have_rust() {
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
    _found=$(rustc --version 2>/dev/null) && cargo --version >/dev/null 2>&1 || return 1
    _found=${_found#rustc }
    _major=${_found%%.*} _minor=${_found#*.}
    _minor=${_minor%%.*}
    [ "$_major" -gt "${rust_version%%.*}" ] || {
        [ "$_major" -eq "${rust_version%%.*}" ] && [ "$_minor" -ge "${rust_version#*.}" ]
    }
}

# Succeeds if there is a C compiler that can compile and link a program with the C library.
have_cc() {
    _program='#include <stdlib.h>
int main(void) { return EXIT_SUCCESS; }'
    echo "$_program" | cc -x c -o /dev/null - 2>/dev/null
}

# Cargo fetches crates by HTTPS.
have_certificates() { [ -z "$(debian)" ] || [ -e /etc/ssl/certs/ca-certificates.crt ]; }

# Installs missing build dependencies on Debian 12 and 13; on other systems prints them.
need_build_tools() {
    _missing='' _names=''
    if ! have_cc; then
        _missing='gcc libc6-dev' _names='a C compiler (gcc or clang) and the headers of the C library'
    fi
    if ! have_rust; then
        if command -v rustup >/dev/null; then
            say "the Rust that rustup installed is missing or older than $rust_version: rustup toolchain install stable"
            return 1
        fi
        # shellcheck disable=SC2046 # one word for each package
        set -- $(rust_packages)
        _missing="$_missing ${1-} ${2-}" _names="${_names:+$_names; }Rust $rust_version or later, with cargo"
    fi
    if ! have_certificates; then
        _missing="$_missing ca-certificates" _names="${_names:+$_names; }ca-certificates"
    fi
    [ -n "$_missing" ] || return 0
    if ! rust_packages >/dev/null; then
        say "this is neither Debian 12 nor 13. Install $_names, and start $say_as again."
        return 1
    fi
    # shellcheck disable=SC2086 # one word for each package
    install_packages $_missing || return
    if ! have_cc || ! have_rust; then
        say "${_missing# } are installed, but there is no working C compiler, or no Rust $rust_version or later:" \
            "check cc --version and rustc --version"
        return 1
    fi
}

# Installs Debian packages, or fails and prints the command for it.
install_packages() {
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        say "missing: $*. You are not root, and there is no sudo. As root: $(apt_line "$@")"
        return 1
    fi
    say "installing $* ..."
    update_packages && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet --no-install-recommends "$@" >&2 && return
    say "cannot install $*. As root: $(apt_line "$@")"
    return 1
}

apt_line() { echo "apt-get update && apt-get install --no-install-recommends $*"; }

# Updates the package lists once: several processes share the marker file $packages_updated.
update_packages() {
    [ ! -e "${packages_updated:-}" ] || return 0
    as_root apt-get update --quiet >&2 || return
    [ -z "${packages_updated:-}" ] || touch "$packages_updated"
}

# Runs a command as root. Sudo asks for a password only where there is a terminal.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}
