use super::{status, watch::Statuses};
use crate::report::{Core, Readiness};
use std::{fmt, sync::Arc};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_server::Health, health_server::HealthServer,
};

impl Readiness {
    /// gRPC's health service, for a tonic server; see
    /// [`notify::grpc`](crate::notify::grpc).
    ///
    /// It does not keep the registry alive.
    #[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
    pub fn grpc_health(&self) -> HealthServer<GrpcHealth> {
        HealthServer::new(GrpcHealth {
            core: Arc::clone(self.core()),
        })
    }
}

/// Answers gRPC health checks; see [`Readiness::grpc_health`].
#[derive(Clone)]
pub struct GrpcHealth {
    core: Arc<Core>,
}

#[tonic::async_trait]
impl Health for GrpcHealth {
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

impl fmt::Debug for GrpcHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcHealth").finish_non_exhaustive()
    }
}
