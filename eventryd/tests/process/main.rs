//! `eventryd` as a process: clients, signals and files.

#![cfg(not(loom))]

mod clients;
mod lifecycle;
mod pid_file;
