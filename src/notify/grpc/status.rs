use crate::state::{Data, ScopeId, SubsystemView};
use tonic_health::pb::health_check_response::ServingStatus;

/// The services that stand for the process as a whole.
const PROCESS: [&str; 4] = ["", "readiness", "liveness", "startup"];

/// The status of a service by its name, or `None` if there is none.
pub(super) fn of(data: &Data, service: &str) -> Option<ServingStatus> {
    of_process(data, service)
        .or_else(|| Some(of_scope(data, data.scope_id(service)?)))
        .or_else(|| Some(of_subsystem(data, data.subsystem(service)?)))
}

/// How many services there are.
pub(super) fn count(data: &Data) -> usize {
    PROCESS.len() + data.scopes.len() + data.members(ScopeId::Process).count()
}

/// Every service with its status.
pub(super) fn all(data: &Data) -> impl Iterator<Item = (&str, ServingStatus)> {
    let process = PROCESS
        .into_iter()
        .filter_map(|service| Some((service, of_process(data, service)?)));
    let scopes = data.scopes.iter().enumerate();
    let scopes = scopes.map(|(index, scope)| (&*scope.name, of_scope(data, ScopeId::Named(index))));
    let subsystems = data.members(ScopeId::Process);
    let subsystems = subsystems.map(|view| (view.name(), of_subsystem(data, view)));
    process.chain(scopes).chain(subsystems)
}

fn of_process(data: &Data, service: &str) -> Option<ServingStatus> {
    let verdict = data.verdict(ScopeId::Process);
    Some(serving(match service {
        "" | "readiness" => verdict.is_ready(),
        "liveness" => verdict.is_live(),
        "startup" => verdict.has_started(),
        _ => return None,
    }))
}

fn of_scope(data: &Data, scope: ScopeId) -> ServingStatus {
    serving(data.verdict(scope).is_ready())
}

fn of_subsystem(data: &Data, view: &SubsystemView) -> ServingStatus {
    serving(data.verdict_of_subsystem(view).is_ready())
}

fn serving(serving: bool) -> ServingStatus {
    if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}
