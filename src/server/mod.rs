//! The admin listener.
pub use self::{
    address::{Address, AddressError},
    builder::AdminListener,
    error::ServeError,
    handle::AdminServer,
};
mod accept;
mod address;
mod bind;
mod builder;
mod connection;
mod error;
mod handle;
mod seat;
mod thread;
