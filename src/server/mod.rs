//! The admin listener: the probes on an address of their own.
//!
//! Where the port of the application is not for probes (it speaks TLS with
//! client certificates, strangers reach it, all of its threads may be busy), one
//! line answers them elsewhere, over HTTP/1.1 and HTTP/2 (without TLS or
//! upgrade), and tells operators who and why:
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
//! # curl.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
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
//! | [connections](AdminListener::max_connections) | 64 | a few supervisors and a few operators; one more takes the place of the one that has not asked for the longest time |
//! | head of a request | 16 KiB | hyper answers 431 to a larger one |
//! | body of a request | never read | no probe has one |
//! | requests on one HTTP/2 connection | 32 at a time | each may `?wait` |
//!
//! A connection that is to end, because it was idle or the listener was
//! stopped, has half a second to get rid of an answer. Accepting goes on
//! after the system had nothing left for a connection (too many open files), a
//! tenth of a second later.
//!
//! # In Kubernetes
//!
//! A kubelet asks at the address of the pod, which `127.0.0.1` is not. Serve
//! `0.0.0.0:28080` (or `[::]:28080`) and name the port in the probes; it then
//! tells [`Names`](crate::probe::Detail::Names) to whoever reaches the pod. To
//! see reasons too, start a second one on loopback and
//! `kubectl port-forward` to it.
//!
//! # Unix sockets
//!
//! A path, or `unix:` and a path, is a unix socket. Its file is made with the
//! [mode](AdminListener::socket_mode) 600, whatever the umask, before anybody
//! can connect. The file that a dead process left behind is replaced, one that
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
mod error;
mod handle;
mod limits;
#[cfg(unix)]
mod place;
mod seat;
mod thread;

pub use self::{builder::AdminListener, error::ServeError, handle::AdminServer};
pub use crate::address::{Address, AddressError};
