//! A server in the same process that stands in for one elsewhere.

use axum::Router;
use std::{
    future::IntoFuture,
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, oneshot},
    task::JoinHandle,
};

pub(crate) struct Backend {
    address: SocketAddr,
    app: Router,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Backend {
    pub(crate) async fn start(app: Router) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            address: listener.local_addr()?,
            running: Mutex::new(Some(run(listener, app.clone()))),
            app,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the port is closed.
    pub(crate) async fn stop(&self) {
        if let Some(Running { stop, server }) = self.running.lock().await.take() {
            drop(stop);
            let _ = server.await;
        }
    }

    /// At the same address as before.
    pub(crate) async fn start_again(&self) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *running = Some(run(listener, self.app.clone()));
        }
        Ok(())
    }
}

fn run(listener: TcpListener, app: Router) -> Running {
    let (stop, stopped) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    Running {
        stop,
        server: tokio::spawn(server.into_future()),
    }
}
