//! Accepting connections, and ending them so that their peers read the last answer.
//! The admin listener and the servers of applications share this code.

mod linger;
mod listener;
mod returned;
mod tasks;

pub use self::listener::Listener;
pub(crate) use self::{
    linger::{ReadWrite, linger},
    returned::ReturnedStream,
    tasks::ConnectionTasks,
};
#[cfg(feature = "server")]
pub(crate) use self::{listener::poll_accept, tasks::AcceptEvent};
