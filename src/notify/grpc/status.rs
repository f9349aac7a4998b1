use crate::state::{Data, ScopeId};
use tonic_health::pb::health_check_response::ServingStatus;

/// The status of a service by its name, or `None` if there is none.
pub(super) fn of(data: &Data, service: &str) -> Option<ServingStatus> {
    let process = data.verdict(ScopeId::Process);
    let serving = match service {
        "" | "readiness" => process.is_ready(),
        "liveness" => process.is_live(),
        "startup" => process.has_started(),
        name => match data.scope_id(name) {
            Some(scope) => data.verdict(scope).is_ready(),
            None => {
                let view = data.subsystem(name)?;
                data.verdict_of_subsystem(view).is_ready()
            }
        },
    };
    Some(if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    })
}
