//! A balancer that passes on bytes: each connection goes to the next replica whose
//! probe was green.

use crate::{BoxError, delayed::Delayed, replica::ask};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// Each replica's probe.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(300);
/// How long bytes, and the end of a connection, take each way.
pub(super) const NETWORK: Duration = Duration::from_millis(1);

pub(super) struct Spread {
    servers: Arc<Mutex<Servers>>,
    proxy: Delayed,
    // Ends when it is dropped.
    _probing: JoinSet<()>,
}

#[derive(Default)]
struct Servers {
    list: Vec<Server>,
    turn: usize,
}

struct Server {
    port: u16,
    is_up: bool,
    /// One reference for each connection, and that of the list.
    connections: Arc<()>,
}

impl Spread {
    const UP_WITHIN: Duration = Duration::from_secs(10);

    pub(super) async fn start(probe: &'static str) -> Result<Self, BoxError> {
        let servers = Arc::default();
        let mut probing = JoinSet::new();
        probing.spawn(ask_always(Arc::clone(&servers), probe));
        let pick = {
            let servers = Arc::clone(&servers);
            move || pick(&mut lock(&servers))
        };
        Ok(Self {
            servers,
            proxy: Delayed::start(pick, NETWORK).await?,
            _probing: probing,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.proxy.address
    }

    /// Waits until the replica receives connections.
    pub(super) async fn add(&self, port: u16) -> Result<(), BoxError> {
        lock(&self.servers).list.push(Server {
            port,
            is_up: false,
            connections: Arc::default(),
        });
        let is_up = |server: &Server| server.port == port && server.is_up;
        let up = async {
            while !lock(&self.servers).list.iter().any(is_up) {
                sleep(PROBE_EVERY / 10).await;
            }
        };
        timeout(Self::UP_WITHIN, up)
            .await
            .map_err(|_| "the balancer does not see a replica".into())
    }

    /// How many connections each replica has, the oldest replica first.
    pub(super) fn connections(&self) -> Vec<usize> {
        let servers = lock(&self.servers);
        let open = |server: &Server| Arc::strong_count(&server.connections) - 1;
        servers.list.iter().map(open).collect()
    }

    pub(super) fn remove(&self, port: u16) {
        lock(&self.servers)
            .list
            .retain(|server| server.port != port);
    }
}

async fn ask_always(servers: Arc<Mutex<Servers>>, probe: &str) {
    loop {
        let ports: Vec<_> = lock(&servers)
            .list
            .iter()
            .map(|server| server.port)
            .collect();
        for port in ports {
            let is_green = matches!(ask("GET", port, probe).await, Ok(200));
            let mut servers = lock(&servers);
            if let Some(server) = servers.list.iter_mut().find(|server| server.port == port) {
                server.is_up = is_green;
            }
        }
        sleep(PROBE_EVERY).await;
    }
}

fn pick(servers: &mut Servers) -> Option<(SocketAddr, Arc<()>)> {
    let up: Vec<_> = servers.list.iter().filter(|server| server.is_up).collect();
    let server = up.get(servers.turn % up.len().max(1))?;
    let target = (
        (Ipv4Addr::LOCALHOST, server.port).into(),
        Arc::clone(&server.connections),
    );
    servers.turn += 1;
    Some(target)
}

fn lock(servers: &Mutex<Servers>) -> std::sync::MutexGuard<'_, Servers> {
    servers.lock().unwrap_or_else(PoisonError::into_inner)
}
