//! The event stream of an admin listener: `GET /statusz/events`.
//!
//! ```text
//! curl -N http://127.0.0.1:28080/statusz/events
//! ```
//!
//! The stream has [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html),
//! of the [kinds and with the data](crate::wire#the-events) of the module
//! [`wire`](crate::wire), at the [detail](crate::probe::Detail) of the listener:
//!
//! - First comes `state`, the JSON of `/statusz`.
//! - `change` follows each change, at most five times a second: the subsystems and
//!   scopes that changed since the last event, and every transition since. A large
//!   event (64 KiB) delays the next one by a further fifth of a second.
//! - `tick` comes every two seconds. A client that has got none for some seconds shows
//!   an old state.
//!
//! **A client that reconnects** sends the id of its last event as `Last-Event-ID`, as
//! `EventSource` does. It then gets what has changed since, and a `tick` at once. It
//! gets the whole `state` if the id is of another listener or process, or if the
//! [history](crate::Readiness::history) no longer has all transitions since. (So with
//! [`Builder::history(0)`](crate::Builder::history) each event is a `state`.)
//!
//! The stream ends after the event with the phase [`Closed`](crate::Phase::Closed),
//! which is not delayed.
//!
//! # Where
//!
//! The listener serves the stream on a loopback address and on a unix socket, and
//! elsewhere with `AdminListener::events`. It never does for clients that get no names:
//! with [`Detail::None`](crate::probe::Detail::None), or for a request that names
//! [another host](crate::server#requests-for-other-hosts), the path is 404. The path
//! is below that of the status probe, wherever that one answers. A group that is named
//! `events` has no page of its own there.
//!
//! # Many clients
//!
//! Streams and requests that `?wait` take at most half of the connections of the
//! listener, so that probes always find one; a further stream gets 503 with
//! `retry-after`. No event is queued: an event is rendered from the newest snapshot at
//! the moment in which the connection can take it, so a slow client skips states and
//! misses no transition. A client that has taken no event for ten seconds, which get a
//! tick every two, is disconnected.
//!
//! Events that clients have not read count in the [32 MiB](crate::probe#requests) of large
//! answers. While these are in use, events of less than 256 KiB are still sent, so that a
//! client that reads gets them; of these, a stream holds two at most. A larger event waits
//! until other clients have read, and with it the ticks of its stream: the client then
//! shows that its state is old, and is not disconnected. With the default of 64 connections, the
//! events of all clients thus take at most 32 MiB, and 16 MiB more.

mod endpoint;
mod id;
mod stream;

#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
pub use self::id::last_event_id;
pub(crate) use self::{endpoint::EventsEndpoint, stream::EventStream};
