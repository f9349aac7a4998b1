use super::{
    list::{self, List},
    status,
    watch::Statuses,
};
use crate::report::{Core, Readiness};
use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
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

impl Readiness {
    /// gRPC's health service, for a tonic server; see
    /// [`notify::grpc`](crate::notify::grpc).
    ///
    /// It does not keep the registry alive.
    #[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
    pub fn grpc_health(&self) -> GrpcHealth {
        let core = Arc::clone(self.core());
        GrpcHealth {
            check_and_watch: HealthServer::new(CheckAndWatch {
                core: Arc::clone(&core),
            }),
            core,
        }
    }
}

/// The service `grpc.health.v1.Health`; see [`Readiness::grpc_health`].
#[derive(Clone)]
pub struct GrpcHealth {
    check_and_watch: HealthServer<CheckAndWatch>,
    core: Arc<Core>,
}

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
        let list = List(Arc::clone(&self.core));
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(list, request).await) })
    }
}

impl fmt::Debug for GrpcHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcHealth").finish_non_exhaustive()
    }
}

/// The methods that tonic-health generates a server for.
struct CheckAndWatch {
    core: Arc<Core>,
}

#[tonic::async_trait]
impl Health for CheckAndWatch {
    type WatchStream = Statuses;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.core.jobs().start();
        self.core.notice();
        let service = &request.get_ref().service;
        let status = self.core.look(|data| status::of(data, service));
        let status = status.ok_or_else(|| Status::not_found("there is no such service"))?;
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Statuses>, Status> {
        self.core.jobs().start();
        self.core.notice();
        let service = request.into_inner().service;
        let statuses = Statuses::new(Arc::clone(&self.core), service);
        Ok(Response::new(statuses))
    }
}
