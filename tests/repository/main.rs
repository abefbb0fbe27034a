//! Checks of the repository: layers, names, prose, and the agreement of documents and code.

#![cfg(not(loom))]

mod circles;
mod claims;
mod layers;
mod names;
mod prose;
mod source;
mod tree;
mod types;
