use super::{
    error::ConnectionsError,
    retirement_window::Window,
    service::ConnectionService,
    tracked::{RetirementSchedule, Tracked},
};
use crate::{
    registry::{Readiness, bounded_from},
    sync::Ordering,
};
use hyper_util::server::graceful::GracefulConnection;
use pin_project_lite::pin_project;
#[cfg(feature = "serve")]
use std::sync::Weak;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// The connections of a server, which retire one after the other while the process
/// drains; see the [module documentation](super).
///
/// Cloning it is cheap; the clones share their connections.
#[derive(Clone)]
pub struct Connections {
    pub(super) schedule: Arc<RetirementSchedule>,
}

impl Readiness {
    /// Returns a new group of connections, with the default settings. Each listener of a
    /// process has a group of its own.
    pub fn connections(&self) -> Connections {
        Connections {
            schedule: RetirementSchedule::new(self, Window::default(), None),
        }
    }
}

/// The settings of [`Connections`].
#[derive(Debug)]
#[must_use = "it does nothing until it is built"]
pub struct ConnectionsBuilder {
    readiness: Readiness,
    window: Window,
    max_age: Option<Duration>,
}

impl ConnectionsBuilder {
    /// Sets the part of the drain delay in which the connections retire, as shares of
    /// the delay. By default from 0.3 to 0.9.
    ///
    /// With an empty window, such as from 1 to 1, each connection stays open until the
    /// phase [`Closing`](crate::Phase::Closing). From the first moment of the drain
    /// HTTP/1 answers say `connection: close`, and [`Retiring`](super::Retiring) ends
    /// streams, as without [`Connections`].
    pub fn window(mut self, from: f64, to: f64) -> Self {
        self.window = Window { from, to };
        self
    }

    /// Retires each connection at this age, a tenth more or less, outside of a drain as
    /// well, so that clients spread over new replicas. By default there is no such age.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Builds the group of connections.
    ///
    /// # Errors
    ///
    /// When a share of the window is not within 0 and 1, or its end is before its
    /// beginning; when the maximum age is shorter than a second or longer than a day.
    pub fn build(self) -> Result<Connections, ConnectionsError> {
        let Window { from, to } = self.window;
        if !self.window.is_valid() {
            return Err(ConnectionsError::Window { from, to });
        }
        if let Some(age) = self.max_age {
            bounded_from(Duration::from_secs(1), "maximum age of connections", age)?;
        }
        Ok(Connections {
            schedule: RetirementSchedule::new(&self.readiness, self.window, self.max_age),
        })
    }
}

impl Connections {
    /// Begins to set up a group of connections.
    pub fn builder(readiness: &Readiness) -> ConnectionsBuilder {
        ConnectionsBuilder {
            readiness: readiness.clone(),
            window: Window::default(),
            max_age: None,
        }
    }

    /// Begins to track a connection, which was just accepted.
    pub fn track(&self) -> TrackedConnection {
        TrackedConnection {
            tracked: Tracked::new(&self.schedule),
        }
    }

    /// The number of connections that are tracked, upgraded ones included as long as
    /// their handler keeps its [`Retiring`](super::Retiring).
    pub fn open(&self) -> usize {
        self.schedule.open.load(Ordering::Relaxed)
    }
}

crate::debug::fields!(Connections, |this| {
    open: this.open(),
    window: this.schedule.window,
    max_age: this.schedule.max_age,
});

/// A connection that retires at a moment of its own.
#[must_use = "it does nothing unless the connection is driven"]
pub struct TrackedConnection {
    tracked: Arc<Tracked>,
}

impl TrackedConnection {
    /// What a server asks for to choose the connections that it ends for others.
    #[cfg(feature = "serve")]
    pub(crate) fn idle_time(&self) -> IdleTime {
        IdleTime(Arc::downgrade(&self.tracked))
    }

    /// Completes when a connection without a request has to end.
    #[cfg(feature = "serve")]
    pub(crate) fn until_closing(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.tracked).until_closing()
    }

    /// Wraps the service of the connection.
    pub fn service<S>(&self, inner: S) -> ConnectionService<S> {
        ConnectionService::new(inner, Arc::clone(&self.tracked))
    }

    /// Drives the connection to its end, and retires it in time. The connection has to
    /// call the [service](Self::service) that this one wraps.
    ///
    /// At its moment, HTTP/2 sends GOAWAY, and streams in flight end in their own time.
    /// HTTP/1 answers say `connection: close` at that moment or before; a
    /// connection that has had no open request for a second, and for twice the longest
    /// pause that its client makes, is closed. At [`Closing`](crate::Phase::Closing)
    /// every connection is told, and one without a request not before 100 ms after its
    /// [accept](Connections::track).
    ///
    /// The future returns the result of the connection. Dropping it drops the
    /// connection.
    ///
    /// # Panics
    ///
    /// The future panics outside of a tokio runtime, and on one whose timers are not
    /// enabled.
    pub fn drive<C: GracefulConnection>(self, connection: C) -> Driven<C> {
        let moment = Arc::clone(&self.tracked).until_moment();
        Driven {
            connection,
            tracked: self.tracked,
            stage: Stage::Serving(Box::pin(moment)),
        }
    }
}

crate::debug::fields!(TrackedConnection, |this| {
    retires: this.tracked.retires(),
});

/// Since when a connection has no open request.
#[cfg(feature = "serve")]
pub(crate) struct IdleTime(Weak<Tracked>);

#[cfg(feature = "serve")]
impl IdleTime {
    /// Since when the connection has no open request, or since when it exists, if it has
    /// sent none. `None` while it has one, and for a connection that has ended.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.0.upgrade()?.idle_since()
    }
}

pin_project! {
    /// A connection until its end; see [`TrackedConnection::drive`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Driven<C> {
        #[pin]
        connection: C,
        tracked: Arc<Tracked>,
        stage: Stage,
    }
}

#[cfg(feature = "serve")]
impl<C: GracefulConnection> Driven<C> {
    /// Lets the connection end after the answers in flight.
    pub(crate) fn end(self: Pin<&mut Self>) {
        let this = self.project();
        this.connection.graceful_shutdown();
        *this.stage = Stage::Told;
    }
}

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Stage {
    /// Until the moment of the connection.
    Serving(BoxFuture),
    /// Until an HTTP/1 connection is idle, or [`Tracked::until_closing`].
    Retiring {
        closing: BoxFuture,
        idle: Pin<Box<Sleep>>,
    },
    /// hyper ends the connection.
    Told,
}

impl<C: GracefulConnection> Future for Driven<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let mut this = self.project();
        loop {
            // Before the connection answers a request that has arrived with it.
            if let Stage::Serving(moment) = this.stage {
                if moment.as_mut().poll(cx).is_ready() {
                    this.tracked.retire();
                    let registry = this.tracked.schedule.readiness.registry();
                    registry.meters().connections_retired.increment();
                    *this.stage = Stage::Retiring {
                        closing: Box::pin(Arc::clone(this.tracked).until_closing()),
                        idle: Box::pin(sleep_until(Instant::now())),
                    };
                }
            }
            // Reads a request that has arrived before the connection is closed.
            if let Poll::Ready(output) = this.connection.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            let tracked = &*this.tracked;
            *this.stage = match this.stage {
                Stage::Serving(_) => return Poll::Pending,
                Stage::Retiring { closing, idle } => {
                    let is_told = tracked.is_http2() || closing.as_mut().poll(cx).is_ready();
                    if !is_told {
                        // The end of a request polls the connection again.
                        let Some(since) = tracked.idle_since() else {
                            return Poll::Pending;
                        };
                        let until = since + tracked.patience();
                        if idle.deadline() != until {
                            idle.as_mut().reset(until);
                        }
                        ready!(idle.as_mut().poll(cx));
                    }
                    this.connection.as_mut().graceful_shutdown();
                    Stage::Told
                }
                Stage::Told => return Poll::Pending,
            };
        }
    }
}

crate::debug::fields!(Driven<C>);
