//! Gives rustdoc the cfg of loom, which cargo takes from `RUSTFLAGS` for rustc alone: the examples of the documentation
//! are no models. Left out of the published package.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_LOOM").is_some() {
        println!("cargo::rustc-cfg=loom");
    }
}
