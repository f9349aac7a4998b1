//! `Health/List` (grpc-proto A90), which tonic-health lacks.

use super::{alias::Aliases, status};
use crate::registry::Registry;
use prost::Message;
use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    sync::Arc,
};
use tonic::{Request, Response, Status, server::UnaryService};
use tonic_health::pb::HealthCheckResponse;

pub(super) const PATH: &str = "/grpc.health.v1.Health/List";

/// With more services than this, `List` fails with `RESOURCE_EXHAUSTED`, as A90
/// allows: at 128 bytes a name, the response stays below 150 KB.
const MAX_SERVICES: usize = 1_000;

/// `HealthListRequest` of `grpc/health/v1/health.proto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListRequest {}

/// `HealthListResponse` of `grpc/health/v1/health.proto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    statuses: BTreeMap<String, HealthCheckResponse>,
}

/// Answers `List` with the status of every name that `Check` knows.
pub(super) struct List {
    pub(super) registry: Arc<Registry>,
    pub(super) aliases: Aliases,
}

impl UnaryService<ListRequest> for List {
    type Response = ListResponse;
    type Future = Ready<Result<Response<ListResponse>, Status>>;

    fn call(&mut self, _: Request<ListRequest>) -> Self::Future {
        self.registry.publish_overdue();
        let statuses = self.registry.read(|data| {
            let count = status::count(data) + self.aliases.count();
            if count > MAX_SERVICES {
                return Err(Status::resource_exhausted(format!(
                    "there are {count} services, and List returns at most {MAX_SERVICES}; use Check or Watch by name"
                )));
            }
            let aliases = self.aliases.iter().filter_map(|(alias, service)| {
                let status = status::by_name(data, service)?;
                Some((alias, status))
            });
            // The alias wins over a subsystem of its name that was added later.
            Ok(status::all(data)
                .chain(aliases)
                .map(|(service, status)| {
                    let status = status.into();
                    (service.to_owned(), HealthCheckResponse { status })
                })
                .collect())
        });
        ready(statuses.map(|statuses| Response::new(ListResponse { statuses })))
    }
}
