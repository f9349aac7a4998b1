use crate::state::{Data, ScopeId, SubsystemView};
use tonic_health::pb::health_check_response::ServingStatus;

/// The names of the services for the process as a whole.
const PROCESS: [&str; 4] = ["", "readiness", "liveness", "startup"];

/// Returns the status of a service by its name, or `None` if it does not exist.
pub(super) fn by_name(data: &Data, service: &str) -> Option<ServingStatus> {
    process_status(data, service)
        .or_else(|| Some(scope_status(data, data.scope_id(service)?)))
        .or_else(|| Some(subsystem_status(data, data.subsystem(service)?)))
}

/// Returns the number of services.
pub(super) fn count(data: &Data) -> usize {
    PROCESS.len() + data.scopes.len() + data.members(ScopeId::Process).count()
}

/// Returns every service with its status.
pub(super) fn all(data: &Data) -> impl Iterator<Item = (&str, ServingStatus)> {
    let process = PROCESS
        .into_iter()
        .filter_map(|service| Some((service, process_status(data, service)?)));
    let scopes = data.scopes.iter().enumerate();
    let scopes =
        scopes.map(|(index, scope)| (&*scope.name, scope_status(data, ScopeId::Named(index))));
    let subsystems = data.members(ScopeId::Process);
    let subsystems = subsystems.map(|view| (view.name(), subsystem_status(data, view)));
    process.chain(scopes).chain(subsystems)
}

fn process_status(data: &Data, service: &str) -> Option<ServingStatus> {
    let verdict = data.verdict(ScopeId::Process);
    Some(serving(match service {
        "" | "readiness" => verdict.is_ready(),
        "liveness" => verdict.is_live(),
        "startup" => verdict.has_started(),
        _ => return None,
    }))
}

fn scope_status(data: &Data, scope: ScopeId) -> ServingStatus {
    serving(data.verdict(scope).is_ready())
}

fn subsystem_status(data: &Data, view: &SubsystemView) -> ServingStatus {
    serving(data.verdict_of_subsystem(view).is_ready())
}

fn serving(serving: bool) -> ServingStatus {
    if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}
