use std::{
    ops::{Deref, DerefMut},
    pin::Pin,
};
use tokio::sync::oneshot;

/// A stream that hyper owns, and that returns to the listener when hyper drops it.
/// hyper reads and writes through a `Pin`, for which tokio forwards every method.
///
/// The listener then lingers on the stream, and may keep its descriptor.
pub(crate) struct ReturnedStream<S> {
    /// `Some` until the drop.
    stream: Option<S>,
    sender: Option<oneshot::Sender<S>>,
}

impl<S> ReturnedStream<S>
where
    S: DerefMut<Target: Unpin>,
{
    pub(crate) fn new(stream: S) -> (Pin<Self>, oneshot::Receiver<S>) {
        let (sender, receiver) = oneshot::channel();
        let returned = Self {
            stream: Some(stream),
            sender: Some(sender),
        };
        (Pin::new(returned), receiver)
    }
}

impl<S: Deref> Deref for ReturnedStream<S> {
    type Target = S::Target;

    fn deref(&self) -> &Self::Target {
        // Only `drop` takes the stream, and nothing dereferences after it.
        self.stream.as_deref().expect("taken by the drop alone")
    }
}

impl<S: DerefMut> DerefMut for ReturnedStream<S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // As above.
        self.stream.as_deref_mut().expect("taken by the drop alone")
    }
}

impl<S> Drop for ReturnedStream<S> {
    fn drop(&mut self) {
        if let (Some(stream), Some(sender)) = (self.stream.take(), self.sender.take()) {
            // Without a receiver the stream closes, as with hyper alone.
            let _ = sender.send(stream);
        }
    }
}
