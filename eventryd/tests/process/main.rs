//! `eventryd` as a process: clients, signals and files.

#![cfg(not(loom))]

mod accounts;
mod admitted;
mod clients;
mod configured;
mod descriptors;
mod inherited;
mod lifecycle;
mod pid_file;
mod reload;
mod start_files;
mod transaction;
