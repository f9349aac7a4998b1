use crate::prober;
use axum::{Router, body::Body, http::Request, routing::get};
use bytes::Bytes;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};
use tokio::{net::TcpListener, runtime};
use tower_readiness::{Readiness, ReadinessLayer, Subsystem, drain, server::AdminListener};

/// Set in a child: the number of its file descriptors.
const DESCRIPTORS: &str = "TOWER_READINESS_TEST_CHILD";

/// What `/big` answers: more than a socket and a stream of HTTP/2 buffer.
const BIG: usize = 8 << 20;

/// The server, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// Read no further, but open: the test harness of the child writes to it.
    _output: BufReader<ChildStdout>,
    application: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    /// Starts a server that may open this many file descriptors.
    pub(crate) fn start(descriptors: u64) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "process::serves_until_its_input_ends"])
            .arg("--nocapture")
            .env(DESCRIPTORS, descriptors.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut address = |name: &str| {
            let line = output
                .by_ref()
                .lines()
                .find_map(|line| Some(line.ok()?.split_once(name)?.1.to_owned()));
            line.unwrap().parse().unwrap()
        };
        let process = Self {
            application: address("application at "),
            admin: address("admin at "),
            _output: output,
            child,
        };
        // The first answers allocate what later ones use again.
        for port in [process.application, process.admin] {
            prober::once(port).unwrap();
        }
        process
    }

    /// The address of the port with this name.
    pub(crate) fn port(&self, name: &str) -> SocketAddr {
        match name {
            "admin" => self.admin,
            _ => self.application,
        }
    }

    /// Forgets the peak of the resident memory, and returns it as it is, in KiB.
    pub(crate) fn begin_peak(&self) -> u64 {
        fs::write(self.file("clear_refs"), "5").unwrap();
        self.peak()
    }

    /// The peak of the resident memory since [`begin_peak`](Self::begin_peak), in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(self.file("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse().unwrap()
    }

    /// The number of descriptors that are open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.file("fd")).unwrap().count()
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    /// Lets the process end, which it must do without an error.
    pub(crate) fn end(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: the server, when the variable is set.
#[test]
fn serves_until_its_input_ends() {
    let Ok(descriptors) = env::var(DESCRIPTORS) else {
        return;
    };
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(descriptors.parse().unwrap());
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut builder = runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let _serving = runtime.spawn(serve());
    let ended = thread::spawn(|| std::io::stdin().read(&mut [0]));
    runtime.block_on(async {
        while !ended.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
}

async fn serve() {
    let storage = Subsystem::new("storage");
    let readiness = Readiness::builder().subsystem(storage).build().unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let big = Bytes::from(vec![b'x'; BIG]);
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/big", get(async move || Body::from(big.clone())))
        // Keeps the body without reading it.
        .route("/keep", get(keep).post(keep))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = listener.local_addr().unwrap();
    let admin = AdminListener::new(&readiness).with_http2();
    let admin = admin.serve_on_thread("127.0.0.1:0").unwrap();
    println!("\napplication at {application}");
    println!("admin at {}", admin.local_addr());
    let _ = std::io::stdout().flush();
    drain::serve(&readiness, listener, app.into_make_service())
        .await
        .unwrap();
}

async fn keep(request: Request<Body>) {
    let _request = request;
    std::future::pending::<()>().await;
}
