#[cfg(unix)]
use super::commands::Commands;
use super::{
    accept,
    bind::Listener,
    connection::ServedProbes,
    error::ServeError,
    handle::{AdminServer, ServerParts},
    limits::Limits,
    thread,
};
use crate::{
    address::Address,
    probe::{Detail, Probes},
    registry::Readiness,
};
use std::future::Future;
use tokio::{
    runtime::Handle,
    time::{Duration, sleep},
};

impl Readiness {
    /// Answers the probes at `address`, in tasks of the runtime that polls
    /// this: [`AdminListener::serve`] with everything at its default.
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
    /// [`AdminListener::serve_on_thread`] with everything at its default.
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

/// Prepares an admin listener, for those who want to choose; see the
/// [module documentation](super).
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
/// let probes = Probes::new(&readiness)
///     .path(Probe::Readiness, "/ready")?
///     .envoy_headers();
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
    commands: bool,
    wait: bool,
}

impl AdminListener {
    /// Serves these probes, or those of a registry at their default paths. It
    /// keeps the registry alive.
    pub fn new(probes: impl Into<Probes>) -> Self {
        Self {
            probes: probes.into(),
            limits: Limits {
                header_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(75),
                connections: 64,
                http2: false,
            },
            socket_mode: 0o600,
            commands: true,
            wait: true,
        }
    }

    /// How much the probes tell. By default [`Detail::Full`] on a loopback
    /// address or a unix socket and [`Detail::Names`] elsewhere, unless the
    /// [`Probes`] were [told](Probes::detail) already.
    ///
    /// On a loopback address it is [`Detail::None`] for a request that names
    /// [another host](super#requests-for-other-hosts).
    pub fn detail(mut self, detail: Detail) -> Self {
        self.probes = self.probes.detail(detail);
        self
    }

    /// How long a connection may take from its beginning to the end of the
    /// head of its first request. By default 5 seconds. Then it is closed,
    /// whether the peer has sent nothing, a part or garbage.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.limits.header_timeout = timeout;
        self
    }

    /// How long a connection may go on after an answer without the head of
    /// another request. By default 75 seconds, longer than anybody's interval
    /// between probes: a client that reuses a connection at the moment it is
    /// closed loses a probe. It also ends those who do not read their answer.
    ///
    /// A request that `?wait`s keeps its connection.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle_timeout = timeout;
        self
    }

    /// How many connections there may be at a time. By default 64.
    ///
    /// One more takes the place of another at once: of one that only reads the
    /// end of a request that was answered, else of the one that has not asked
    /// for the longest time, else of one that `?wait`s; of one that came less
    /// than a second ago and has not asked yet only when all others did too.
    /// Were a connection to be turned away or to queue, a client that opens
    /// connections and leaves them could make liveness fail, and the process be
    /// killed.
    ///
    /// Half of the places at most are for requests that `?wait`; with a single
    /// place there is no waiting.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = connections;
        self
    }

    /// Speaks HTTP/2 too (without TLS or upgrade), for clients that know no
    /// other. By default only HTTP/1.1 and 1.0 are spoken: kubelets, load
    /// balancers and the command `readiness` use those, and each stream of
    /// HTTP/2 is a request that one connection can leave unread.
    pub fn with_http2(mut self) -> Self {
        self.limits.http2 = true;
        self
    }

    /// Answers requests that `?wait` at once, as all others.
    pub fn without_wait(mut self) -> Self {
        self.wait = false;
        self
    }

    /// The permissions of the file of a unix socket, which the umask does not
    /// change. By default `0o600`: only the owner of the process can open it
    /// (and root). One that others can open too takes no
    /// [commands](super#commands).
    ///
    /// On Linux the file has them from its beginning. Permissions that the umask
    /// takes away are given back before the socket listens, if no other user can
    /// replace the file; otherwise to serve is
    /// [an error](ServeError::SharedFolder).
    #[cfg(unix)]
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.socket_mode = mode;
        self
    }

    /// Takes no [commands](super#commands), from nobody.
    pub fn without_commands(mut self) -> Self {
        self.commands = false;
        self
    }

    /// Answers the probes at `address`, in tasks of the runtime that polls
    /// this. While all of its threads are blocked it does not answer; the
    /// [other one](Self::serve_on_thread) does.
    ///
    /// It ends when it is [stopped](AdminServer::stop), or with the runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be read or listened on; when there is no tokio
    /// runtime; when a timeout is zero or longer than a day, no connection is
    /// allowed, or the mode of a socket is more than permissions.
    ///
    /// # Panics
    ///
    /// On a tokio runtime whose I/O or timers are not enabled. (That cannot be
    /// asked.)
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

    /// Answers the probes at `address`, on a thread of their own, named
    /// `readiness`, with a small runtime of its own: while the runtime of the
    /// process is blocked or busy, they still answer. Needs no runtime.
    ///
    /// It ends when it is [stopped](AdminServer::stop), or with the process. A
    /// `fork` leaves the child [without it](super#in-the-runtime-or-on-a-thread).
    ///
    /// # Errors
    ///
    /// When the address cannot be read or listened on; when the thread cannot
    /// be started; when a timeout is zero or longer than a day, no connection is
    /// allowed, or the mode of a socket is more than permissions.
    pub fn serve_on_thread<A>(self, address: A) -> Result<AdminServer, ServeError>
    where
        A: TryInto<Address, Error: Into<ServeError>>,
    {
        let address = address.try_into().map_err(Into::into)?;
        let (server, _) = thread::serve(address, |address| self.bind(address))?;
        Ok(server)
    }

    /// Listens, and gives the future that answers.
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
        #[cfg(unix)]
        let commands = listener
            .identity()
            .filter(|_| self.commands)
            .map(|identity| {
                Commands::new(probes.readiness().clone(), identity, limits.header_timeout)
            });
        let waiting = if self.wait { limits.connections / 2 } else { 0 };
        let probes = probes.max_waiting(waiting);
        let probes = probes.default_detail(if local.is_local() {
            Detail::Full
        } else {
            Detail::Names
        });
        // On other addresses a stranger may ask anyway.
        let is_loopback = local.socket_addr().is_some() && local.is_local();
        let served = ServedProbes {
            for_foreign_hosts: is_loopback.then(|| probes.clone().detail(Detail::None)),
            probes,
        };
        #[cfg(feature = "tracing")]
        crate::logging::line(tracing::Level::INFO, || {
            let address = local.to_string();
            move |span| crate::logging::event!(info, span, %address, "admin listener answers")
        });
        let (server, parts) = AdminServer::new(local);
        let serving = async move {
            let ServerParts {
                stop_signal,
                running,
            } = parts;
            accept::serve(
                listener,
                served,
                #[cfg(unix)]
                commands,
                limits,
                stop_signal,
            )
            .await;
            drop(running);
        };
        Ok((server, serving))
    }
}
