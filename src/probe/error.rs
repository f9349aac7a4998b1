use crate::wire::Probe;
use thiserror::Error;

/// Why [`ProbesBuilder::build`](super::ProbesBuilder::build) fails.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbesError {
    /// The path of a probe does not begin with `/`.
    #[error("the path of the {probe} probe is {path:?}; begin it with `/`")]
    RelativePath {
        /// The probe.
        probe: Probe,
        /// Its path.
        path: String,
    },
    /// The path of a probe contains a character that the path of a request never
    /// contains, or ends in `/`.
    #[error(
        "the path of the {probe} probe is {path:?}; use printable ASCII characters, without `?`, \
         `#` and a trailing `/`"
    )]
    MalformedPath {
        /// The probe.
        probe: Probe,
        /// Its path.
        path: String,
    },
    /// Another probe answers at the path of a probe.
    #[error(
        "the path of the {probe} probe is {path:?}, where the {taken_by} probe answers; choose \
         another path, or move or turn off the {taken_by} probe"
    )]
    TakenPath {
        /// The probe.
        probe: Probe,
        /// Its path.
        path: String,
        /// The probe that answers there. The readiness probe answers below its
        /// path as well.
        taken_by: Probe,
    },
}
