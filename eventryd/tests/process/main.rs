//! `eventryd` as a process: clients, signals and files.

#![cfg(not(loom))]

mod clients;
mod inherited;
mod lifecycle;
mod pid_file;
mod reload;
