#[cfg(all(unix, feature = "commands"))]
use super::commands::CommandExecutor;
use super::{
    accept::accept,
    bind::Listener,
    connection::{self, ServedProbes},
    error::ServeError,
    handle::AdminServer,
    limits::Limits,
    thread,
};
#[cfg(feature = "events")]
use crate::observe::events::EventsEndpoint;
#[cfg(feature = "metrics")]
use crate::observe::metrics::MetricsEndpoint;
use crate::{
    address::Address,
    probe::{Detail, Probes},
    registry::Readiness,
};
#[cfg(feature = "page")]
use crate::{observe::page, probe::Page};
use std::{future::Future, sync::Arc};
use tokio::{
    runtime::Handle,
    time::{Duration, sleep},
};

impl Readiness {
    /// Answers the probes at `address`, in tasks of the current runtime:
    /// [`AdminListener::serve`] with all defaults.
    ///
    /// # Errors
    ///
    /// Those of [`AdminListener::serve`].
    ///
    /// # Panics
    ///
    /// Where [`AdminListener::serve`] does.
    pub async fn serve<A>(&self, address: A) -> Result<AdminServer, ServeError>
    where
        A: TryInto<Address, Error: Into<ServeError>>,
    {
        AdminListener::new(self).serve(address).await
    }

    /// Answers the probes at `address`, on a thread of their own:
    /// [`AdminListener::serve_on_thread`] with all defaults.
    ///
    /// # Errors
    ///
    /// Those of [`AdminListener::serve_on_thread`].
    pub fn serve_on_thread<A>(&self, address: A) -> Result<AdminServer, ServeError>
    where
        A: TryInto<Address, Error: Into<ServeError>>,
    {
        AdminListener::new(self).serve_on_thread(address)
    }
}

/// Configures an admin listener; see the [module documentation](super).
///
/// ```
/// # use std::time::Duration;
/// # use tower_readiness::{Readiness, Subsystem};
/// use tower_readiness::{
///     probe::{Detail, Probe, Probes},
///     server::AdminListener,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// let probes = Probes::builder(&readiness)
///     .path(Probe::Readiness, "/ready")
///     .envoy_headers()
///     .build()?;
/// let admin = AdminListener::new(probes)
///     .detail(Detail::Full)
///     .header_timeout(Duration::from_secs(2))
///     .serve("127.0.0.1:0")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it serves"]
pub struct AdminListener {
    probes: Probes,
    limits: Limits,
    socket_mode: u32,
    #[allow(
        dead_code,
        reason = "the listener has nothing but probes without a feature for more"
    )]
    extras: Extras,
    wait: bool,
}

/// What a listener was told to serve beside the probes.
#[derive(Clone, Copy, Debug, Default)]
#[allow(dead_code, reason = "each feature has a field")]
struct Extras {
    commands: bool,
    events: bool,
    metrics: bool,
    page: bool,
}

impl AdminListener {
    /// Creates a listener for `probes`, or for the probes of a registry at their
    /// default paths. It keeps the registry alive.
    pub fn new(probes: impl Into<Probes>) -> Self {
        Self {
            probes: probes.into(),
            limits: Limits::default(),
            socket_mode: 0o600,
            extras: Extras::default(),
            wait: true,
        }
    }

    /// Sets how much detail the answers contain. By default [`Detail::Full`] on a
    /// loopback address or a unix socket and [`Detail::Names`] elsewhere, unless
    /// [`ProbesBuilder::detail`](crate::probe::ProbesBuilder::detail) has set it.
    ///
    /// On a loopback address it is [`Detail::None`] for a request that names
    /// [another host](super#requests-for-other-hosts).
    pub fn detail(mut self, detail: Detail) -> Self {
        self.probes = self.probes.with_detail(detail);
        self
    }

    /// Sets how long a connection may take from its beginning to the end of the
    /// head of its first request. By default 5 seconds. Then the listener closes
    /// it, whether the peer has sent nothing, a part or garbage.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.limits.header_timeout = timeout;
        self
    }

    /// Sets how long a connection may stay open after an answer without the head of
    /// another request. By default 75 seconds, longer than the interval of common
    /// probers: a client that reuses a connection at the moment it is closed loses
    /// a probe. The timeout also closes connections whose peer does not read.
    ///
    /// It does not run while a request `?wait`s or gets events.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle_timeout = timeout;
        self
    }

    /// Sets the maximum number of connections at a time. By default 64. A quarter as many
    /// may be [ending](super#defaults) for others.
    ///
    /// A further connection evicts another at once. Evicted are, in this order:
    ///
    /// 1. connections that are closing after their answer,
    /// 2. idle connections, the longest idle first,
    /// 3. connections whose request `?wait`s, is a command, or gets events,
    /// 4. connections that are less than a second old and have not sent a request.
    ///
    /// If the listener refused or queued connections instead, a client that opens
    /// connections and leaves them idle could make liveness fail, and so have the
    /// process killed.
    ///
    /// Requests that `?wait`, and event streams, may take half of the connections; with
    /// a maximum of one, requests are answered at once, and there are no streams.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = connections;
        self
    }

    /// Enables HTTP/2 (without TLS or upgrade), for clients that support nothing
    /// else. By default the listener speaks only HTTP/1.1 and 1.0: kubelets, load
    /// balancers and the command `readiness` use those, and each HTTP/2 stream is
    /// one more answer that a connection can leave unread.
    pub fn with_http2(mut self) -> Self {
        self.limits.http2 = true;
        self
    }

    /// Answers requests with `?wait` at once.
    pub fn without_wait(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Serves the [event stream](crate::observe::events) at `/statusz/events` wherever
    /// the listener is. By default it serves the stream on a loopback address or a unix
    /// socket alone. As with names in the answers of probes, the events tell every
    /// client that can connect the names and states of scopes and subsystems.
    ///
    /// With [`Detail::None`] the listener serves no events, and this is an error.
    #[cfg(feature = "events")]
    pub fn events(mut self) -> Self {
        self.extras.events = true;
        self
    }

    /// Serves the [metrics](crate::observe::metrics) at `/metrics` wherever the
    /// listener is. By default it serves them on a loopback address or a unix socket
    /// alone. As with names in the answers of probes, the metrics tell every client
    /// that can connect the names of scopes and subsystems.
    ///
    /// With [`Detail::None`] the listener serves no metrics, and this is an error.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self) -> Self {
        self.extras.metrics = true;
        self
    }

    /// Sets the mode of a unix socket's file, regardless of the umask. By default
    /// `0o600`: only the user of the process, and root, can open the socket. If
    /// other users can open it, the listener refuses all
    /// commands.
    ///
    /// On Linux the file is created with this mode, less the umask. Permissions
    /// that the umask removed are added before the socket listens, if no other
    /// user can replace the file; otherwise serving fails with
    /// [`ServeError::SharedFolder`].
    #[cfg(unix)]
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket_mode = mode;
        self
    }

    /// Executes the [commands](super::commands) that clients send over a unix
    /// socket. By default, and over TCP always, the listener answers them with 404.
    #[cfg(all(unix, feature = "commands"))]
    pub fn with_commands(mut self) -> Self {
        self.extras.commands = true;
        self
    }

    /// Serves the [page](super#the-page), and the events that it follows, wherever the
    /// listener is. By default it serves them on a loopback address or a unix socket alone.
    /// As with names in the answers of probes, the page tells every client that can connect
    /// the names and states of scopes and subsystems.
    ///
    /// With [`Detail::None`] the listener serves no page, and this is an error.
    #[cfg(feature = "page")]
    pub fn page(mut self) -> Self {
        self.extras.page = true;
        self
    }

    /// Answers the probes at `address`, in tasks of the current runtime. While all
    /// threads of the runtime are blocked, probes are not answered; with
    /// [`serve_on_thread`](Self::serve_on_thread) they are.
    ///
    /// The listener ends when it is [stopped](AdminServer::stop), or with the
    /// runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be parsed or listened on; when there is no tokio
    /// runtime; when a timeout is zero or longer than a day, no connection is
    /// allowed, the socket mode exceeds `0o777`, or events, metrics or the page are served
    /// without names.
    ///
    /// # Panics
    ///
    /// On a tokio runtime whose I/O or timers are not enabled. (tokio offers no way
    /// to check that.)
    pub async fn serve<A>(self, address: A) -> Result<AdminServer, ServeError>
    where
        A: TryInto<Address, Error: Into<ServeError>>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let runtime = Handle::try_current().map_err(|_| ServeError::NoRuntime)?;
        // Panics here rather than in each connection.
        drop(sleep(Duration::ZERO));
        let (server, serving) = self.bind(address).await?;
        drop(runtime.spawn(serving));
        Ok(server)
    }

    /// Answers the probes at `address`, on a thread named `readiness` with a small
    /// runtime of its own. The probes are answered even while the runtime of the
    /// process is blocked or busy. Needs no runtime.
    ///
    /// The listener ends when it is [stopped](AdminServer::stop), or with the
    /// process. A `fork` leaves the child
    /// [without it](super#in-the-runtime-or-on-a-thread).
    ///
    /// # Errors
    ///
    /// When the address cannot be parsed or listened on; when the thread cannot
    /// be started; when a timeout is zero or longer than a day, no connection is
    /// allowed, the socket mode exceeds `0o777`, or events, metrics or the page are served
    /// without names.
    pub fn serve_on_thread<A>(self, address: A) -> Result<AdminServer, ServeError>
    where
        A: TryInto<Address, Error: Into<ServeError>>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let (server, _) = thread::serve(address, |address| self.bind(address))?;
        Ok(server)
    }

    /// Listens, and returns the handle and the future that serves.
    pub(super) async fn bind(
        self,
        address: Address,
    ) -> Result<(AdminServer, impl Future<Output = ()> + Send + 'static), ServeError> {
        self.limits.check()?;
        if self.socket_mode > 0o777 {
            let mode = self.socket_mode;
            return Err(ServeError::SocketMode { mode });
        }
        let (listener, local) = Listener::bind(address, self.socket_mode).await?;
        let Self { probes, limits, .. } = self;
        #[cfg(all(unix, feature = "commands"))]
        let commands = listener
            .identity()
            .filter(|_| self.extras.commands)
            .map(|file| {
                CommandExecutor::new(probes.readiness().clone(), file, limits.header_timeout)
            });
        let meters = Arc::clone(probes.readiness().registry().meters());
        let waiting = if self.wait { limits.connections / 2 } else { 0 };
        let probes = probes.max_waiting(waiting);
        let probes = probes.default_detail(if local.is_local() {
            Detail::Full
        } else {
            Detail::Names
        });
        // On other addresses, remote clients get the details anyway.
        let is_loopback = local.socket_addr().is_some() && local.is_local();
        let shows_names = probes.shows_names();
        let named: &[(bool, &'static str)] = &[
            #[cfg(feature = "events")]
            (self.extras.events, "events"),
            #[cfg(feature = "metrics")]
            (self.extras.metrics, "metrics"),
            #[cfg(feature = "page")]
            (self.extras.page, "page"),
        ];
        if let Some((_, setting)) = named.iter().find(|(wanted, _)| *wanted && !shows_names) {
            return Err(ServeError::NamesHidden { setting });
        }
        #[cfg(feature = "events")]
        let events = {
            let wanted = self.extras.events || local.is_local();
            // The page follows the events.
            #[cfg(feature = "page")]
            let wanted = wanted || self.extras.page;
            (wanted && shows_names).then(|| EventsEndpoint::new(&probes, limits.connections / 2))
        };
        #[cfg(feature = "metrics")]
        let metrics = {
            let wanted = self.extras.metrics || local.is_local();
            (wanted && shows_names).then(|| MetricsEndpoint::new(&probes))
        };
        let for_foreign_hosts = is_loopback.then(|| probes.clone().with_detail(Detail::None));
        #[cfg(feature = "page")]
        let probes = if self.extras.page || local.is_local() {
            probes.with_page(Page {
                render: page::render,
                policy: page::POLICY,
            })
        } else {
            probes
        };
        let served = ServedProbes {
            for_foreign_hosts,
            probes,
            #[cfg(feature = "events")]
            events,
            #[cfg(feature = "metrics")]
            metrics,
            #[cfg(all(unix, feature = "commands"))]
            commands,
        };
        crate::log::line!(
            info, "admin_listener", { address: local.to_string() },
            %address, "admin listener answers"
        );
        let (server, stop_signal) = AdminServer::new(local);
        let stop = stop_signal.clone();
        let serve = move |stream, slot| {
            connection::serve(stream, slot, served.clone(), limits, stop.clone())
        };
        Ok((
            server,
            accept(listener, limits.connections, meters, serve, stop_signal),
        ))
    }
}
