//! The gRPC health service, by its own names and by aliases.

use crate::{
    history::{Column, DECLARED, ENTRIES, MEMBERS, subsystems},
    surfaces::{Surface, Verdicts},
};
use futures_util::FutureExt;
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tower_readiness::{Phase, Readiness, notify::grpc::GrpcHealth};

type Client = HealthClient<GrpcHealth>;

/// The names by which a client asks.
#[derive(Clone, Copy, PartialEq)]
pub enum Names {
    Own,
    /// Those of gRPC services, which stand for them.
    Aliases,
}

const SERVICES: [(&str, Column); 5] = [
    ("", Column::Ready(0)),
    ("readiness", Column::Ready(0)),
    ("startup", Column::Started),
    ("liveness", Column::Live),
    ("scope", Column::Ready(1)),
];

impl Names {
    fn name(self, service: &str) -> String {
        match self {
            Self::Own => service.to_owned(),
            Self::Aliases => format!("my.pkg.{service}"),
        }
    }

    /// The number of subsystems that have such a name.
    fn subsystems(self) -> usize {
        match self {
            Self::Own => MEMBERS,
            // An alias stands for a subsystem that exists at the start.
            Self::Aliases => DECLARED,
        }
    }

    fn client(self, readiness: &Readiness) -> Client {
        let mut builder = GrpcHealth::builder(readiness);
        if self == Self::Aliases {
            let subsystems = subsystems().take(DECLARED).map(|(_, name)| name);
            for service in SERVICES.into_iter().map(|it| it.0).chain(subsystems) {
                builder = builder.alias(self.name(service), service);
            }
        }
        HealthClient::new(builder.build().unwrap())
    }
}

fn request(service: String) -> HealthCheckRequest {
    HealthCheckRequest { service }
}

/// Returns whether a service serves, or `None` if the process does not know it.
fn serves(client: &mut Client, name: String) -> Option<bool> {
    match client.check(request(name)).now_or_never().unwrap() {
        Ok(response) => is_serving(response.into_inner().status()),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => panic!("{status}"),
    }
}

fn is_serving(status: ServingStatus) -> Option<bool> {
    match status {
        ServingStatus::Serving => Some(true),
        ServingStatus::NotServing => Some(false),
        ServingStatus::ServiceUnknown => None,
        ServingStatus::Unknown => panic!("{status:?}"),
    }
}

pub struct Services {
    client: Client,
    names: Names,
    turn: usize,
}

impl Services {
    pub fn new(readiness: &Readiness, names: Names, turn: usize) -> Self {
        let client = names.client(readiness);
        Self {
            client,
            names,
            turn,
        }
    }
}

impl Surface for Services {
    /// Asks for every fourth name, each turn for others.
    fn verdicts(&mut self) -> Verdicts {
        self.turn += 1;
        let subsystems = subsystems().take(self.names.subsystems());
        let subsystems = subsystems.map(|(index, name)| (name, Column::SubsystemReady(index)));
        let services = SERVICES.into_iter().chain(subsystems);
        let mut verdicts = Verdicts::new();
        for (name, column) in services.skip(self.turn % 4).step_by(4) {
            let is_green = serves(&mut self.client, self.names.name(name));
            verdicts.extend(verdicts_of(column, is_green));
        }
        verdicts
    }
}

/// The verdicts about a service, which is `None` if it is unknown.
fn verdicts_of(column: Column, is_green: Option<bool>) -> Verdicts {
    let is_known = match column {
        Column::SubsystemReady(index) => Some((Column::State(index, None), is_green.is_none())),
        _ => None,
    };
    let is_green = is_green.map(|is_green| (column, is_green));
    is_known.into_iter().chain(is_green).collect()
}

pub struct Watches(Vec<Watch>);

/// A watch, its last status, and whether it has ended.
struct Watch {
    column: Column,
    stream: Streaming<HealthCheckResponse>,
    last: ServingStatus,
    has_ended: bool,
}

impl Watches {
    pub fn new(readiness: &Readiness, names: Names) -> Self {
        let mut client = names.client(readiness);
        let index = match names {
            Names::Own => DECLARED,
            Names::Aliases => 1,
        };
        let subsystem = (ENTRIES[index].0, Column::SubsystemReady(index));
        let watch = |(name, column)| {
            let request = request(names.name(name));
            let response = client.watch(request).now_or_never().unwrap();
            Watch {
                column,
                stream: response.unwrap().into_inner(),
                last: ServingStatus::Unknown,
                has_ended: false,
            }
        };
        Self(SERVICES.into_iter().chain([subsystem]).map(watch).collect())
    }
}

impl Surface for Watches {
    fn verdicts(&mut self) -> Verdicts {
        let mut verdicts = Verdicts::new();
        for watch in &mut self.0 {
            watch.read();
            verdicts.push((Column::Since(Phase::Closing), watch.has_ended));
            // The last status of a watch that has ended was true at its end.
            if !watch.has_ended {
                verdicts.extend(verdicts_of(watch.column, is_serving(watch.last)));
            }
        }
        verdicts
    }
}

impl Watch {
    /// Reads all messages. No status comes twice.
    fn read(&mut self) {
        while !self.has_ended {
            match self.stream.message().now_or_never() {
                Some(Ok(Some(response))) => {
                    assert_ne!(response.status(), self.last, "{:?} twice", self.column);
                    self.last = response.status();
                }
                Some(Ok(None)) => self.has_ended = true,
                Some(Err(status)) => panic!("{status}"),
                None => break,
            }
        }
    }
}
