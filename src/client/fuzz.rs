//! The fuzz targets of this folder; see `src/fuzzing.rs`.

pub use super::watch::fuzz::events;

use super::{HealthCheck, http, print, report::clean};
use crate::wire::Probe;

/// The bytes of a server that answers a health check.
pub fn answer(bytes: &[u8]) {
    let Ok(response) = http::read(bytes) else {
        return;
    };
    let check = || HealthCheck::new(crate::address::Address::default());
    let checks = [
        check(),
        check().verbose(),
        check().json(),
        check().exclude("storage"),
        check().scope("search"),
    ];
    for check in checks {
        for probe in [Probe::Liveness, Probe::Readiness] {
            let output = match check.interpret(probe, response.clone()) {
                Ok(report) => {
                    assert!(!report.line().is_empty());
                    assert_eq!(report.is_ok(), response.status == 200);
                    check.render(&report)
                }
                Err(error) => check.render_error(&error),
            };
            assert!(output.lines().all(|line| clean(line) == line), "{output:?}");
            assert!(print::bounded(output).len() <= 4096);
        }
    }
}
