//! The admin listener: the probes on an address of their own.
//!
//! The port of the application may be unsuitable for probes: it requires client
//! certificates, untrusted clients reach it, or all of its threads may be busy.
//! One line then answers them on another port, over HTTP/1.1 (HTTP/2 is
//! [optional](AdminListener::with_http2)), with the names of the failing
//! subsystems and their reasons:
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//!
//! // Other tools expect 127.0.0.1:28080. Port 0 is any free port.
//! let admin = readiness.serve_on_thread("127.0.0.1:0")?;
//! println!("curl 'http://{}/readyz?verbose'", admin.local_addr());
//! # let address = admin.local_addr().socket_addr().ok_or("a unix socket")?;
//! # let mut curl = std::net::TcpStream::connect(address)?;
//! # use std::io::{Read, Write};
//! # curl.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
//! # let mut answer = String::new();
//! # curl.read_to_string(&mut answer)?;
//! # assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
//! # assert!(answer.ends_with("not ready: storage starting\n"), "{answer}");
//! # Ok(())
//! # }
//! ```
//!
//! # In the runtime or on a thread
//!
//! [`Readiness::serve`](crate::Readiness::serve) answers in tasks of the
//! runtime that it is called in. If handlers block all of its threads, probes
//! time out, and the supervisor restarts the process. That is right for a process
//! that hangs, and wrong for a process that is only busy.
//!
//! [`Readiness::serve_on_thread`](crate::Readiness::serve_on_thread) answers on
//! a thread of its own. It needs no runtime, and a blocked runtime does not delay
//! it. Liveness then depends on the reports of the subsystems alone. Until the first call
//! on a runtime of the application, as in a process without one, the thread also runs the
//! background tasks of the registry: there a check that blocks delays the answers.
//!
//! **A `fork` leaves the child without the listener**: a child process has only
//! the thread that forked, and the tasks of a runtime do not run there either. The
//! child does inherit the socket: once the parent has ended, connections to it
//! queue and no thread accepts them. A process that forks (a daemon, a server
//! that forks its workers) must begin to serve after the last fork.
//!
//! Both methods listen before they return, so they return an error if the port is
//! in use.
//!
//! # How long it answers
//!
//! The listener answers until it is [stopped](AdminServer::stop), or its runtime
//! or the process ends. Dropping the [`AdminServer`] does not stop it: it answers
//! in every [`Phase`](crate::Phase), [`Closed`](crate::Phase::Closed) included, so
//! that an operator can see the end of a shutdown. It keeps the registry alive, so
//! it answers when every other handle has been dropped.
//!
//! # Defaults
//!
//! | | default | why |
//! |---|---|---|
//! | [address](Address) | `127.0.0.1:28080` | only this machine reaches it; also `Address::default()` |
//! | [detail](AdminListener::detail) on loopback or a unix socket | [`Full`](crate::probe::Detail::Full) | every client is on this machine |
//! | detail elsewhere | [`Names`](crate::probe::Detail::Names) | reasons contain error messages: hosts, paths, sometimes a secret |
//! | `/metrics` (feature `metrics`) | on loopback and unix sockets, unless the detail is `None`; elsewhere after `AdminListener::metrics` | metrics name scopes and subsystems |
//! | [time for the head of a request](AdminListener::header_timeout) | 5 s | a prober sends it at once; a kubelet gives up after 1 s |
//! | [time between requests](AdminListener::idle_timeout) | 75 s | longer than the interval of probers that reuse a connection; nginx's value |
//! | [connections](AdminListener::max_connections) | 64 | a few supervisors and a few operators; a further connection evicts another |
//! | backlog of the listening socket | 1,024 | the value of tokio for a unix socket |
//! | requests that [`?wait`](AdminListener::without_wait), and event streams | half of the connections | the other half stays for probes |
//! | events (feature `events`) and metrics (feature `metrics`) | on loopback and unix sockets | they name subsystems; elsewhere `AdminListener::events` and `AdminListener::metrics` serve them |
//! | head of a request | 16 KiB | hyper answers 431 to a larger one |
//! | body of a request | read only for the reason of a command | no probe has a body; the answer to a request that has one includes `connection: close` |
//! | unread answers that list subsystems | 32 MiB in all, and 512 KiB for each event stream or connection that scrapes metrics (256 KiB for each of its 8 requests over HTTP/2) | see [Requests](crate::probe#requests) |
//! | send buffer | 64 KiB for each TCP connection (Linux doubles it) | few answers are rendered for a peer that reads nothing |
//! | [HTTP/2](AdminListener::with_http2) | off | see below |
//!
//! **HTTP/2 is off by default.** Kubelets, HAProxy, nginx, ALB and NLB, curl and
//! the command `readiness` probe over HTTP/1. HTTP/2 would only let one
//! connection have several open requests, each with an answer that its peer need
//! not read. With HTTP/2 on, a connection has 8 open requests at most. A gRPC
//! health check belongs on the port of the application; see
//! `Readiness::grpc_health` (feature `grpc`).
//!
//! When a connection ends, because it was idle or evicted or the listener was stopped,
//! half a second remains for sending an answer. The listener then reads and discards
//! until the peer has ended too, for 5 seconds without a byte and 30 in all.
//! Otherwise the kernel would send RST, and destroy an answer that the peer has
//! not read yet (RFC 9112, section 9.6). Such a connection is evicted first. Evicted
//! connections have this time while they are no more than a quarter of
//! [`max_connections`](AdminListener::max_connections); of more, the first evicted ones end
//! at once. Without a file descriptor for a new connection, all of them do.
//!
//! # Many clients
//!
//! However many clients connect, liveness must not fail. Accepting waits for no
//! peer. A connection that is less than a second old and has not sent its request
//! is evicted last. So a probe that opens a connection of its own is answered among
//! peers that reconnect as soon as they are closed, that wait, or that do not
//! read. It fails only if [`max_connections`](AdminListener::max_connections) new
//! connections that send nothing arrive after it has connected and before its
//! request is read. Answers that are costly to render are rendered once a second for each
//! probe and format, unless they `?exclude` subsystems.
//!
//! Probes are answered even if the application runs out of file descriptors. On
//! Unix, each listener holds four spare descriptors, accepts with one of them, and
//! takes it back when that connection ends. When all four are in use, the listener
//! evicts a connection that is not new, and retries a tenth of a second later.
//!
//! # Requests for other hosts
//!
//! A web page can make the name of its own site resolve to 127.0.0.1, and so read
//! the answers of a loopback listener through a browser on the machine (DNS
//! rebinding). The browser sends that name as `Host`. On a loopback address, the
//! accepted hosts are therefore `localhost`, names that end in `.localhost`, and
//! loopback addresses. A request for another host is answered as with
//! [`Detail::None`](crate::probe::Detail::None), with the verdict alone, and `/metrics` with 404. Browsers
//! always send `Host`, so a request without it counts as local. A proxy in front of
//! the listener must send one of the accepted hosts. On other addresses and
//! unix sockets the host does not matter.
//!
//! # The page
//!
//! With the feature `page`, a browser gets a page at `/` and at `/statusz`: the verdict in
//! words, its causes first, then every subsystem and scope with state, reason and age, the
//! countdown of a drain, the requests in flight and refused, and the last transitions. Other
//! clients get text or JSON there, as without the page.
//!
//! - **Live**: the page follows the event stream, so a change is visible within 200 ms. Six
//!   seconds after the last event it turns grey, its title too, and says since when: it never
//!   shows a green that may be over. It connects again by itself.
//! - **Without JavaScript** it is the same document, which loads itself again every 5 seconds.
//! - **Where**: on a loopback address or a unix socket; on other addresses after
//!   `AdminListener::page`; never on the port of the application, and never for a
//!   [foreign host](#requests-for-other-hosts). It shows what the
//!   [detail](AdminListener::detail) allows.
//! - **One document**: it loads nothing else, and its policy (`content-security-policy`)
//!   lets it connect to the process alone. No other site can frame it.
//!
//! From another machine, forward the port: `ssh -L 28080:localhost:28080 host`, or
//! `kubectl port-forward pod/NAME 28080`.
//!
//! # In Kubernetes
//!
//! A kubelet connects to the address of the pod, which `127.0.0.1` is not. Serve
//! `:28080`, which is the port on all addresses of IPv4 and IPv6 (a cluster may
//! have IPv6 alone), and name the port in the probes. Every client that reaches
//! the pod then gets [`Names`](crate::probe::Detail::Names). To see reasons too,
//! start a second listener on loopback and `kubectl port-forward` to it.
//!
//! # Unix sockets
//!
//! A path, or `unix:` and a path, is a unix socket. The socket file gets the
//! [mode](AdminListener::socket_mode) 600 before a client can connect, regardless
//! of the umask. The mode is never set by path in a folder where another user
//! could have replaced the file. The listener replaces the socket file of a dead
//! process. A socket that another process listens on, or a file that is not a
//! socket, is an error. A relative path is resolved when the listener binds.
//!
//! # Commands
//!
//! Over a unix socket the listener can also execute commands of operators: pause,
//! resume and drain (feature `commands`). They are off until
//! `AdminListener::with_commands` turns them on; see the module `commands`.

mod accept;
mod bind;
mod body;
mod builder;
#[cfg(all(unix, feature = "commands"))]
pub mod commands;
mod connection;
mod connection_slot;
mod error;
mod handle;
mod host;
mod limits;
#[cfg(unix)]
mod socket_file;
mod spares;
mod stream;
mod thread;

pub use self::{builder::AdminListener, error::ServeError, handle::AdminServer};
pub use crate::address::{Address, AddressError};
