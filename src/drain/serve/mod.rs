//! A server whose connections retire one after the other while the process drains.

mod builder;
mod connection;
mod listener;
mod sending;
mod slots;

#[cfg(all(test, tower_readiness_loom))]
mod loom;

pub use self::builder::{Serve, serve};
pub use crate::accept::Listener;
