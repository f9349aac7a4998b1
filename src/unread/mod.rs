//! The unread body of a request that is answered without its handler.
//!
//! A server of HTTP/1 that answers a request and closes the connection while bytes of the
//! body are unread makes the kernel send RST, which can destroy the answer at
//! the client (RFC 9112, section 9.6). A client that got no `connection: close`
//! also loses the next request that it sends there. So this module reads and drops
//! the body in two phases:
//!
//! 1. `Unread::settle`, before the answer: reads while bytes arrive, bounded.
//!    Only a body that has ended leaves the connection open.
//! 2. `linger`, after the answer with `connection: close`: a task reads on,
//!    bounded, because hyper reads a body only while it is polled.
//!
//! On HTTP/2, hyper resets the stream alone, with `NO_ERROR` (RFC 9113, section 8.1). No
//! client may discard the answer then, and curl 7.88 does. So a body whose length is known,
//! and that the client sends without waiting for the server, is read before the answer
//! within the same bounds. Streams, as those of gRPC, are answered at once.

mod bounds;
mod drain;
mod linger;
mod reader;

pub use self::bounds::{UnreadBody, UnreadBodyBuilder};
pub(crate) use self::drain::UnreadBodies;
