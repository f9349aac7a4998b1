//! Ports that stay free while no process listens on them.

use crate::BoxError;
use std::{
    collections::HashSet,
    fs,
    net::{Ipv4Addr, TcpListener},
    sync::Mutex,
};

/// The ports that were handed out before.
static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port without a listener, outside of the range that the kernel gives to outgoing
/// connections, so that no connection takes the port of a replica that restarts.
pub(crate) fn free() -> Result<u16, BoxError> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let ephemeral = range.split_whitespace().next().and_then(|n| n.parse().ok());
    let below: u16 = ephemeral.filter(|n| *n > 12_000).unwrap_or(32_768);
    let mut taken = TAKEN.lock().map_err(|_| "another thread panicked")?;
    let taken = taken.get_or_insert_default();
    for _ in 0..1_000 {
        let port = fastrand::u16(10_000..below);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && taken.insert(port) {
            return Ok(port);
        }
    }
    Err("no free port".into())
}
