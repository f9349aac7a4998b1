//! The admin listener: the probes on an address of their own.
//!
//! Where the port of the application is not for probes (it speaks TLS with
//! client certificates, strangers reach it, all of its threads may be busy), one
//! line answers them elsewhere, over HTTP/1.1 (and HTTP/2 where
//! [asked for](AdminListener::with_http2)), and tells operators who and why:
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//!
//! // 127.0.0.1:28080 is what other tools expect; port 0 is any free one.
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
//! time out, and the process is restarted for it: right for one that hangs, and
//! wrong for one that is only busy.
//!
//! [`Readiness::serve_on_thread`](crate::Readiness::serve_on_thread) answers on
//! a thread of its own, whatever the runtime does, and needs none. Liveness is
//! then what the subsystems say and nothing else.
//!
//! **A `fork` leaves the child without it**: a child process has the thread that
//! forked and no other, and the tasks of a runtime do not run there either. The
//! child does inherit the socket: once the parent is gone, connections to it
//! queue and no thread accepts them. A process that forks (a daemon, a server
//! that forks its workers) begins to serve after the last fork.
//!
//! Either listens before it returns, so that a port that is in use is an error
//! there.
//!
//! # How long it answers
//!
//! Until it is [stopped](AdminServer::stop), the runtime it runs in is gone, or
//! the process. Dropping the [`AdminServer`] does not stop it: it answers in
//! every [`Phase`](crate::Phase), [`Closed`](crate::Phase::Closed) included,
//! because whoever watches a shutdown wants to see its end. It keeps the
//! registry alive, so that it answers when every other handle is gone.
//!
//! # What it does by default, and why
//!
//! | | default | why |
//! |---|---|---|
//! | [address](Address) | `127.0.0.1:28080` | nothing but this machine reaches it; said as `Address::default()` |
//! | [detail](AdminListener::detail) on loopback or a unix socket | [`Full`](crate::probe::Detail::Full) | whoever can ask is on the machine |
//! | detail elsewhere | [`Names`](crate::probe::Detail::Names) | reasons hold what errors say: hosts, paths, now and then a secret |
//! | [time for the head of a request](AdminListener::header_timeout) | 5 s | a probe's is sent at once; a kubelet gives up after one |
//! | [time between requests](AdminListener::idle_timeout) | 75 s | longer than the interval of those who probe on one connection; nginx's |
//! | [connections](AdminListener::max_connections) | 64 | a few supervisors and a few operators; one more takes the place of another |
//! | connections in the queue of the system | 1,024 | as many as tokio asks for on a unix socket |
//! | requests that [`?wait`](AdminListener::without_wait) | half of the connections | the other half stays for probes |
//! | head of a request | 16 KiB | hyper answers 431 to a larger one |
//! | body of a request | never read, but for the reason of a command | no probe has one; the answer then says `connection: close` |
//! | answers that list subsystems | 32 MiB in all | see [Requests](crate::probe#requests) |
//! | answers in the buffer of the system | 64 KiB for a connection (TCP; Linux doubles it) | few answers are rendered for a peer that reads nothing |
//! | [HTTP/2](AdminListener::with_http2) | off | see below |
//!
//! **HTTP/2 is off by default.** Kubelets, HAProxy, nginx, ALB and NLB, curl and
//! the command `readiness` probe over HTTP/1. In return for nothing, HTTP/2 would
//! let a connection have several requests open, each with an answer that its peer
//! need not read. Where it is on, a connection has 8 requests open at most. A
//! gRPC health check is for the port of the application, by
//! `Readiness::grpc_health` (feature `grpc`).
//!
//! A connection that is to end, because it was idle or the listener was
//! stopped, has half a second to get rid of an answer. After its end the listener
//! reads on and drops what it reads until the peer has ended too, for 5 seconds
//! without a byte and 30 in all, so that the kernel does not reset what the peer
//! has yet to read (RFC 9112, section 9.6); such a connection is the first to
//! give its place to another.
//!
//! # Crowds
//!
//! No crowd of clients shall have a process killed for its liveness. Accepting
//! waits for no peer. A connection that is less than a second old and has not
//! sent its request is the last to give its place to another, so a probe that
//! opens a connection of its own is answered among peers that come back as soon
//! as they are closed, that wait, or that do not read; unless as many as there
//! are places come anew, and send nothing, between its connecting and its
//! request. What is costly to render is rendered once a second.
//!
//! An application that runs out of file descriptors is still answered for: each
//! listener holds four in reserve (on Unix), accepts with one of them, and takes it
//! back when that connection ends. When all are in use it closes the connection
//! that can be spared first, and asks again a tenth of a second later.
//!
//! # Requests for other hosts
//!
//! A web page can have the name of its own site resolve to 127.0.0.1, and so
//! read through a browser on the machine what a loopback listener answers (DNS
//! rebinding). The browser sends that name as `Host`. So on a loopback address a
//! request that names another host than `localhost`, a name that ends in
//! `.localhost`, or a loopback address is answered as with
//! [`Detail::None`](crate::probe::Detail::None): the verdict and nothing else. A
//! request without `Host` is no browser's. A proxy in front of the listener has
//! to send one of those names. On other addresses and unix sockets the name does
//! not matter.
//!
//! # In Kubernetes
//!
//! A kubelet asks at the address of the pod, which `127.0.0.1` is not. Serve
//! `:28080`, which is the port on all addresses, of IPv4 and of IPv6 (so that
//! clusters that have IPv6 alone are probed too), and name the port in the
//! probes; it then tells [`Names`](crate::probe::Detail::Names) to all that reach the pod. To
//! see reasons too, start a second one on loopback and
//! `kubectl port-forward` to it.
//!
//! # Unix sockets
//!
//! A path, or `unix:` and a path, is a unix socket. Its file is made with the
//! [mode](AdminListener::socket_mode) 600, whatever the umask, before anybody
//! can connect, and never by a change of what is found at its path where others
//! could have put another file there. The file that a dead process left behind is replaced, one that
//! is listened on is in use, and what is no socket is left alone. A path that is
//! not absolute begins where the process is when it begins to listen.
//!
//! # Commands
//!
//! Over a unix socket that only the owner can open, and never over TCP, the
//! listener also takes commands, by POST:
//!
//! | | |
//! |---|---|
//! | `/commands/pause` | turns readiness red for the reason in the body (4 KiB at most, of which 1 KiB is kept), as [`Readiness::pause`](crate::Readiness::pause) does, until resumed or the listener ends |
//! | `/commands/resume` | ends that; what the program paused itself goes on |
//! | `/commands/drain` | [`Readiness::drain`](crate::Readiness::drain): as SIGTERM, and one that follows joins it. A GET commands nothing: it is answered when the process is closed, or at once with 409 if it does not drain; [`Readiness::run`](crate::Readiness::run) then waits a second at most until the client has hung up |
//!
//! (The command `readiness` of the feature `cli`, and `client::Commands`, send
//! them.) Whoever may send them may send signals to the process too, and so
//! gets no power by it that they do not have; but a listener
//! [can be told](AdminListener::without_commands) not to take them.
//!
//! That only the owner can open it means, looked at for each command anew:
//!
//! - the peer is the user that the file belongs to, or root, as the system says;
//! - nobody else may open the file (mode 600). One that was opened to others
//!   answers them, and obeys nobody: 403, with the reason;
//! - nobody else can replace the file: its folder belongs to the same user or to
//!   root, and others may not write to it, or it is sticky as `/tmp` is.
//!   (Kubernetes' `emptyDir` is neither; use a folder below it.)
//!
//! Who may write to the folders above is not looked at.

mod accept;
mod bind;
mod builder;
#[cfg(unix)]
mod commands;
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
