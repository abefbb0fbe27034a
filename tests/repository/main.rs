//! The repository, checked: its layers, its names, and its documents against the code.

#![cfg(not(loom))]

mod circles;
mod claims;
mod layers;
mod names;
mod prose;
mod source;
mod tree;
mod types;
