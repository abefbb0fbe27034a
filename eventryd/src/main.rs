//! The program `eventryd`: [`eventryd::cli::main`].

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    eventryd::cli::main()
}

#[cfg(loom)]
fn main() {}
