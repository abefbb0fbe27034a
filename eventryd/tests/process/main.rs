//! `eventryd` as a process: its clients, its signals, its files.

#![cfg(not(loom))]

mod clients;
mod lifecycle;
