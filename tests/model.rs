//! Random histories against a model that is too simple to be wrong: after
//! every step, every surface gives the answer of the model.

mod history;

use bytes::Bytes;
use futures_util::FutureExt;
use history::{Answer, Model, Process, Step, step, take};
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use proptest::{collection::vec, prelude::*};
use std::convert::Infallible;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::{
    Phase, Readiness, ReadinessLayer,
    gate::Refusal,
    probe::{Detail, Probes},
};

type Gated = tower::util::BoxCloneService<Request<Empty<Bytes>>, Response<()>, Infallible>;

struct Surfaces {
    process: Gated,
    scope: Gated,
    probes: Probes,
}

fn gated(layer: &ReadinessLayer) -> Gated {
    let inner = service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = layer
        .layer(inner)
        .map_response(|response| response.map(drop));
    tower::util::BoxCloneService::new(service)
}

impl Surfaces {
    fn of(readiness: &Readiness) -> Self {
        Self {
            process: gated(&ReadinessLayer::new(readiness)),
            scope: gated(&ReadinessLayer::gate(readiness.scope("scope").unwrap())),
            probes: Probes::builder(readiness)
                .detail(Detail::Full)
                .build()
                .unwrap(),
        }
    }

    fn refuses(service: &Gated) -> bool {
        let request = Request::get("/").body(Empty::new()).unwrap();
        let response = service.clone().oneshot(request).now_or_never();
        let response = response.unwrap().unwrap();
        response.extensions().get::<Refusal>().is_some()
    }

    fn probe(&self, path: &str) -> bool {
        let request = Request::get(path).body(String::new()).unwrap();
        let response = self.probes.clone().call(request).now_or_never();
        match response.unwrap().unwrap().status() {
            StatusCode::OK => true,
            StatusCode::SERVICE_UNAVAILABLE => false,
            status => panic!("{path}: {status}"),
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut model = Model::new();
    let mut real = Process::new();
    let surfaces = Surfaces::of(&real.readiness);
    let mut subscription = real.readiness.subscribe();
    subscription.changed().now_or_never().unwrap().unwrap();

    for step in steps {
        let before = real.readiness.snapshot();
        take(&step, &mut model, &mut real);
        model.settle();
        let after = real.readiness.snapshot();

        // Each change, and nothing else, is published under a larger version and
        // wakes subscribers.
        assert!(after.version() >= before.version());
        let changed = subscription.changed().now_or_never();
        assert_eq!(changed.is_some(), after.version() > before.version());
        assert!(after.phase() >= before.phase());
        assert!(after.verdict().has_started() >= before.verdict().has_started());
        if after.version() == before.version() {
            assert_eq!(after.verdict(), before.verdict());
        }

        assert_eq!(after.phase(), model.phase, "{step:?}");
        for (scope, expected, service) in [
            (None, model.process(), &surfaces.process),
            (Some("scope"), model.scope(), &surfaces.scope),
        ] {
            let verdict = match scope {
                None => after.verdict(),
                Some(name) => after.scope(name).unwrap(),
            };
            let answer = Answer {
                condition: verdict.condition(),
                started: verdict.has_started(),
                live: verdict.is_live(),
                ready: verdict.is_ready(),
                refused: Surfaces::refuses(service),
            };
            assert_eq!(answer, expected, "{scope:?} after {step:?}");
        }
        let process = model.process();
        assert_eq!(surfaces.probe("/startupz"), process.started);
        assert_eq!(surfaces.probe("/livez"), process.live);
        assert_eq!(surfaces.probe("/readyz"), process.ready);
        assert_eq!(surfaces.probe("/readyz/scope"), model.scope().ready);
        let alive = after.verdict().has_started() && process.live;
        assert_eq!(after.verdict().is_healthy(), alive);

        let names: Vec<_> = after.subsystems().map(|it| it.name().to_owned()).collect();
        assert_eq!(names.len(), model.entries.len());
        for entry in &model.entries {
            let view = after.subsystem(entry.name).unwrap();
            assert_eq!(view.state(), entry.state, "{} after {step:?}", entry.name);
            let ready =
                entry.up() && process.live && model.pauses == 0 && model.phase < Phase::Draining;
            assert_eq!(surfaces.probe(&format!("/readyz/{}", entry.name)), ready);
            // An excluded subsystem counts as if it did not exist.
            let path = format!("/livez?exclude={}", entry.name);
            let mut without = Model {
                entries: model.entries.clone(),
                ..model
            };
            without.entries.retain(|other| other.name != entry.name);
            assert_eq!(surfaces.probe(&path), without.process().live);
            without.settle();
            for (scope, ready) in [
                ("", without.process().ready),
                ("/scope", without.scope().ready),
            ] {
                let path = format!("/readyz{scope}?exclude={}", entry.name);
                assert_eq!(surfaces.probe(&path), ready, "{path}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_surface_gives_the_answer_of_the_model(steps in vec(step(), 1..80)) {
        run(steps);
    }
}
