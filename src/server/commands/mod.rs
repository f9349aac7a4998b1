//! Commands of operators: pause, resume and drain, over a unix socket.
//!
//! [`AdminListener::with_commands`](super::AdminListener::with_commands) turns them
//! on for one listener. Without it, and over TCP always, the listener answers each
//! of these paths with 404.
//!
//! | | |
//! |---|---|
//! | `POST /commands/pause` | turns readiness red, as [`Readiness::pause`](crate::Readiness::pause) does, until it is resumed or the listener ends; the body is the reason (4 KiB at most, of which 1 KiB is kept) |
//! | `POST /commands/resume` | ends that pause; pauses by the program itself go on |
//! | `POST /commands/drain` | begins the [drain](crate::Readiness::drain), as SIGTERM does; a later SIGTERM joins it |
//! | `GET /commands/drain` | begins no drain: it is answered when the process is closed, or at once with 409 if the process does not drain. [`Readiness::run`](crate::Readiness::run) then waits until the client has closed its connection, a second at most |
//!
//! The command `readiness` of the feature `cli`, and `client::Commands`, send them.
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem, server::AdminListener};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let socket = folder.path().join("admin.sock");
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! // A path such as /run/app/admin.sock.
//! AdminListener::new(&readiness).with_commands().serve_on_thread(&*socket)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Who may send a command
//!
//! For each command anew, the listener checks these conditions, and answers 403
//! with the reason if one is not met:
//!
//! - the peer is the owner of the socket file, or root, according to the kernel;
//! - only the owner may open the socket file (mode 600). With another mode the
//!   listener still answers probes, and refuses commands from every peer;
//! - no other user can replace the socket file: its folder belongs to the owner or
//!   to root, and either only they may write to it, or it is sticky like `/tmp`.
//!   (Kubernetes' `emptyDir` is neither; use a folder below it.)
//!
//! The listener does not check the folders above. It logs each command that it
//! accepts, with the user id of the peer.
//!
//! # What a command can cause
//!
//! | the peer | by pause and resume | by drain | by GET |
//! |---|---|---|---|
//! | root, or the owner of the socket file | the process leaves the rotation of its load balancers while traffic is still served, or returns to it; liveness is not affected | the process ends, as by SIGTERM | a connection stays open until the end of the process, and delays it by a second at most |
//! | any other user, and every client over TCP | nothing | nothing | nothing, not even whether the process drains |
//!
//! A process of the same user, or of root, can send signals to this process too, so
//! a command grants it no new power. This is not so where the process runs as another
//! user than the owner of its socket file, or where a container shares the socket
//! but not the process namespace: each process there that has the user id of the
//! owner, or root, can send commands. A command writes no file, runs no program, and
//! cannot turn a failing process ready.

mod authorize;
mod execute;

pub(super) use self::execute::{AdminCommand, CommandExecutor, Commander};
