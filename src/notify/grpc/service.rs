use super::{
    alias::{AliasError, Aliases},
    list::{self, List},
    status,
    watch::{Retired, WatchStream},
};
use crate::registry::{Readiness, Registry};
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::Semaphore;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, StdError},
    server::{Grpc, NamedService},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_server::Health, health_server::HealthServer,
};
use tonic_prost::ProstCodec;

/// The limit of concurrent watches. A client opens one for each connection, and
/// takes the server for unhealthy if it is refused, so the limit is far beyond
/// the connections of most servers.
const MAX_WATCHES: usize = 1 << 14;

impl Readiness {
    /// Returns gRPC's health service for a tonic server; see
    /// [`notify::grpc`](crate::notify::grpc).
    ///
    /// The service does not keep the registry alive.
    pub fn grpc_health(&self) -> GrpcHealth {
        GrpcHealth::new(Arc::clone(self.registry()), Aliases::default())
    }
}

/// The service `grpc.health.v1.Health`; see [`Readiness::grpc_health`].
#[derive(Clone)]
pub struct GrpcHealth {
    check_and_watch: HealthServer<CheckAndWatch>,
    registry: Arc<Registry>,
    aliases: Aliases,
}

impl GrpcHealth {
    /// Configures the service that [`Readiness::grpc_health`] returns.
    pub fn builder(readiness: &Readiness) -> GrpcHealthBuilder {
        GrpcHealthBuilder {
            registry: Arc::clone(readiness.registry()),
            aliases: Vec::new(),
        }
    }

    fn new(registry: Arc<Registry>, aliases: Aliases) -> Self {
        Self {
            check_and_watch: HealthServer::new(CheckAndWatch {
                registry: Arc::clone(&registry),
                aliases: aliases.clone(),
                watches: Arc::new(Semaphore::new(MAX_WATCHES)),
            }),
            registry,
            aliases,
        }
    }
}

/// Configures a [`GrpcHealth`].
#[must_use = "a builder does nothing until it builds"]
pub struct GrpcHealthBuilder {
    registry: Arc<Registry>,
    aliases: Vec<(String, String)>,
}

impl GrpcHealthBuilder {
    /// Lets clients ask for `service` by the name `alias` as well.
    ///
    /// A client that checks health itself asks for a name of its configuration
    /// (`healthCheckConfig`, gRFC A17), mostly the name of the gRPC service that it calls.
    /// `service` is any [name that exists](crate::notify::grpc): a scope, a subsystem,
    /// `readiness`. An alias is unknown once its subsystem has retired, and hides a
    /// subsystem of the same name that is added later.
    pub fn alias(mut self, alias: impl Into<String>, service: impl Into<String>) -> Self {
        self.aliases.push((alias.into(), service.into()));
        self
    }

    /// Builds the service.
    ///
    /// # Errors
    ///
    /// When an alias is not a valid name (1 to 128 of `A-Z a-z 0-9 . _ - : [ ]`), when a
    /// scope, a subsystem or another alias has that name, or when it stands for a service
    /// that does not exist.
    pub fn build(self) -> Result<GrpcHealth, AliasError> {
        let aliases = Aliases::check(&self.registry, self.aliases)?;
        Ok(GrpcHealth::new(self.registry, aliases))
    }
}

crate::debug::fields!(GrpcHealthBuilder, |this| {
    aliases: this.aliases,
});

impl NamedService for GrpcHealth {
    const NAME: &'static str = <HealthServer<CheckAndWatch> as NamedService>::NAME;
}

impl<B> Service<http::Request<B>> for GrpcHealth
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != list::PATH {
            return self.check_and_watch.call(request);
        }
        let list = List {
            registry: Arc::clone(&self.registry),
            aliases: self.aliases.clone(),
        };
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(list, request).await) })
    }
}

crate::debug::fields!(GrpcHealth);

/// The methods `Check` and `Watch`, whose server tonic-health generates.
struct CheckAndWatch {
    registry: Arc<Registry>,
    aliases: Aliases,
    watches: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Health for CheckAndWatch {
    type WatchStream = WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.registry.publish_overdue();
        let service = self.aliases.resolve(&request.get_ref().service);
        let status = self.registry.read(|data| status::by_name(data, service));
        let status = status.ok_or_else(|| Status::not_found("there is no such service"))?;
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        self.registry.publish_overdue();
        let permit = Arc::clone(&self.watches).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many watches"))?;
        let service = self.aliases.resolve(&request.get_ref().service);
        let retired = retired(request.extensions());
        let statuses = WatchStream::new(Arc::clone(&self.registry), service, retired, permit);
        Ok(Response::new(statuses))
    }
}

/// Completes when the connection of a request retires; never, if it does not by itself.
#[cfg(feature = "connections")]
fn retired(extensions: &tonic::Extensions) -> Retired {
    match extensions.get::<crate::connections::Retiring>() {
        Some(retiring) => Box::pin(retiring.requested()),
        None => Box::pin(std::future::pending()),
    }
}

#[cfg(not(feature = "connections"))]
fn retired(_: &tonic::Extensions) -> Retired {
    Box::pin(std::future::pending())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Subsystem;
    use tonic::Code;

    #[tokio::test]
    async fn concurrent_watches_have_a_limit() {
        let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
        let readiness = builder.build().unwrap();
        let service = CheckAndWatch {
            registry: Arc::clone(readiness.registry()),
            aliases: Aliases::default(),
            watches: Arc::new(Semaphore::new(2)),
        };
        let watch = || service.watch(Request::new(HealthCheckRequest::default()));
        let (first, _second) = (watch().await.unwrap(), watch().await.unwrap());
        let refused = watch().await.map(drop).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        drop(first);
        watch().await.unwrap();
    }
}
