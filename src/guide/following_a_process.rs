//! Following a process: what changed before now, what changes next.
//!
//! # In a browser
//!
//! With the feature `page`, an [admin listener](crate::Readiness::serve) on a loopback
//! address or a unix socket has a live page at `/`: the verdict, its causes first, and what
//! it does to traffic. From another machine, forward the port, and open
//! `http://localhost:28080/`:
//!
//! ```sh
//! ssh -L 28080:localhost:28080 host
//! kubectl port-forward pod/NAME 28080   # for a listener on 127.0.0.1:28080 of the pod
//! ```
//!
//! When the process is silent for six seconds, the page turns grey and says since when. It is
//! complete without JavaScript, too; then it loads itself again every five seconds.
//! [More](crate::server#the-page).
//!
//! # On a terminal
//!
//! ```sh
//! readiness watch                        # 127.0.0.1:28080, or READINESS_ADDR
//! readiness watch /run/app/admin.sock
//! ```
//!
//! draws the same as a table until it is stopped, and follows the successor of a process:
//!
//! ```text
//! NOT READY  storage failing (connection refused)
//! 127.0.0.1:28080  20:36:05 UTC  phase started  started yes  live yes  in flight 0  refused 7 failing
//!
//!    name      state     role           for  reason
//! [-]storage   failing   required       12s  connection refused
//! [-]database  failing   shared         12s  connection refused
//! [+]listener  ready     required       15s
//! ```
//!
//! Where standard output is no terminal, each change is a line, and with `--json` each event
//! is an object: `readiness watch --json | jq -c 'select(.event == "change").data.summary'`.
//!
//! # The history
//!
//! `/statusz` has the newest transitions: each change of a state, of a condition, of the
//! phase, and each pause, with its reason, how long the former value had lasted, and how
//! many requests gates refused meanwhile.
//!
//! ```text
//! [>]2m ago: storage ready -> failing after 3h (connection refused)
//! [>]2m ago: process ready -> failing after 3h
//! [>]1m ago: storage failing -> ready after 40s, 812 refused
//! [>]1m ago: process failing -> ready after 40s, 812 refused
//! ```
//!
//! Code reads the same:
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .history(1_000) // by default 256
//!     .build()?;
//! let storage = readiness.reporter("storage")?;
//! storage.failing("connection refused");
//!
//! for transition in readiness.history() {
//!     let (from, to) = transition.kind().words();
//!     println!("{:?}: {from:?} to {to:?}", transition.kind().name());
//! }
//! # assert_eq!(readiness.history().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each published change has its transitions there, also those between two reads. A
//! report that repeats a state costs nothing; a change costs a sixth more than without
//! the history.
//!
//! # The events
//!
//! With the feature `events`, an [admin listener](crate::Readiness::serve) on a loopback
//! address or a unix socket streams the state, and then its changes, to any client of
//! server-sent events:
//!
//! ```sh
//! curl -N http://127.0.0.1:28080/statusz/events
//! curl -N --unix-socket /run/app/admin.sock http://localhost/statusz/events
//! ```
//!
//! The [wire format](crate::wire#the-events) documents the events. A client that reconnects sends the
//! id of its last event, and gets what it has missed. Streams take at most half of the
//! connections of the listener, together with the requests of the next section, so no
//! crowd of clients keeps a probe out.
//!
//! # Waiting until red
//!
//! A balancer in a client, or a script, learns of a drain within a round trip, at one
//! request a minute:
//!
//! ```sh
#![doc = include_str!("follow.sh")]
//! ```
//!
//! `?wait` needs [`Detail::Names`](crate::probe::Detail::Names). Where it is not allowed,
//! or too many requests wait already, the answer comes at once; the short pause keeps the
//! loop from asking without end.
