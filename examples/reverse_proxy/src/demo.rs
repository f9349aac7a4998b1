//! The upstreams that come with the example, and the file that lists them.

use axum::{
    Router,
    extract::{Path as UrlPath, State},
    http::{StatusCode, Uri},
    routing::post,
};
use std::{
    env, fs,
    future::IntoFuture,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process,
    sync::Arc,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, oneshot},
    task::JoinHandle,
};

pub(crate) struct Demo {
    upstreams: Vec<DemoUpstream>,
    file: PathBuf,
}

impl Demo {
    pub(crate) async fn start(upstreams: usize) -> io::Result<Self> {
        let file = env::temp_dir().join(format!("upstreams-{}", process::id()));
        let mut demo = Self {
            upstreams: Vec::new(),
            file,
        };
        let mut addresses = String::new();
        for number in 0..upstreams {
            let upstream = DemoUpstream::start(number, (Ipv4Addr::LOCALHOST, 0).into()).await?;
            addresses += &format!("{}\n", upstream.address);
            demo.upstreams.push(upstream);
        }
        fs::write(&demo.file, addresses)?;
        Ok(demo)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/demo/upstreams/{number}/{action}", post(flip))
            .with_state(Arc::new(Mutex::new(self)))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

struct DemoUpstream {
    address: SocketAddr,
    /// While it runs.
    server: Option<(oneshot::Sender<()>, JoinHandle<io::Result<()>>)>,
}

impl DemoUpstream {
    async fn start(number: usize, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let answer = async move |uri: Uri| format!("upstream {number} was asked for {uri}\n");
        let app = Router::new().fallback(answer);
        let (stop, stopped) = oneshot::channel();
        let server = axum::serve(listener, app).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        Ok(Self {
            address,
            server: Some((stop, tokio::spawn(server.into_future()))),
        })
    }

    /// Returns when the port is closed.
    async fn stop(&mut self) {
        if let Some((stop, server)) = self.server.take() {
            drop(stop);
            let _ = server.await;
        }
    }
}

/// `POST /demo/upstreams/{number}/{action}`: answers with the address of the upstream.
async fn flip(
    State(demo): State<Arc<Mutex<Demo>>>,
    UrlPath((number, action)): UrlPath<(usize, String)>,
) -> Result<String, (StatusCode, String)> {
    let mut demo = demo.lock().await;
    let Some(upstream) = demo.upstreams.get_mut(number) else {
        return Err((StatusCode::NOT_FOUND, format!("no upstream {number}\n")));
    };
    match action.as_str() {
        "stop" => upstream.stop().await,
        "start" if upstream.server.is_some() => {}
        "start" => {
            *upstream = DemoUpstream::start(number, upstream.address)
                .await
                .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
        }
        _ => {
            let message = "the actions are stop and start\n".to_owned();
            return Err((StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(format!("{}\n", upstream.address))
}
