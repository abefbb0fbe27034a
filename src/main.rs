//! `eventryd`: options, signals and exit status.

fn main() {}
