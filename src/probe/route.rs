use crate::wire::Probe;
use thiserror::Error;

/// Why a path cannot be given to a probe.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// The path does not begin with `/`.
    #[error("{path:?} does not begin with `/`")]
    Relative {
        /// The path.
        path: String,
    },
    /// The path contains a character that the path of a request never contains,
    /// or ends in `/`.
    #[error("{path:?} is not a plain path (no query, fragment, blank or trailing `/`)")]
    Malformed {
        /// The path.
        path: String,
    },
    /// Another probe answers there.
    #[error("{path:?} is taken by the {probe} probe")]
    Taken {
        /// The path.
        path: String,
        /// The probe that answers there.
        probe: Probe,
    },
}

/// The paths of the probes.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    paths: Vec<(String, Probe)>,
    /// The bytes that follow the first `/` of any probe path. This alone shows
    /// for most requests that they are not for a probe.
    second_bytes: [bool; 256],
}

impl Default for Routes {
    fn default() -> Self {
        let mut routes = Self {
            paths: [
                Probe::Liveness,
                Probe::Readiness,
                Probe::Startup,
                Probe::Health,
                Probe::Status,
            ]
            .map(|probe| (probe.default_path().to_owned(), probe))
            .to_vec(),
            second_bytes: [false; 256],
        };
        routes.index();
        routes
    }
}

impl Routes {
    pub(super) fn set(&mut self, probe: Probe, path: String) -> Result<(), PathError> {
        if !path.starts_with('/') {
            return Err(PathError::Relative { path });
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
        if !path.chars().all(plain) || (path.len() > 1 && path.ends_with('/')) {
            return Err(PathError::Malformed { path });
        }
        let collides = |(other_path, other): &&(String, Probe)| {
            let below_it =
                *other == Probe::Readiness && below(other_path, without_slash(&path)).is_some();
            let above_it =
                probe == Probe::Readiness && below(&path, without_slash(other_path)).is_some();
            *other != probe && (*other_path == path || below_it || above_it)
        };
        if let Some((_, taken_by)) = self.paths.iter().find(collides) {
            let probe = *taken_by;
            return Err(PathError::Taken { path, probe });
        }
        self.remove(probe);
        self.paths.push((path, probe));
        self.index();
        Ok(())
    }

    pub(super) fn remove(&mut self, probe: Probe) {
        self.paths.retain(|(_, other)| *other != probe);
        self.index();
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, Probe)> {
        self.paths
            .iter()
            .map(|(path, probe)| (path.as_str(), *probe))
    }

    fn index(&mut self) {
        self.second_bytes = [false; 256];
        for (path, _) in &self.paths {
            self.second_bytes[usize::from(second_byte(path))] = true;
        }
    }

    #[inline]
    pub(super) fn may_find(&self, path: &str) -> bool {
        self.second_bytes[usize::from(second_byte(path))]
    }

    /// Returns the probe at `path`. Below the path of the readiness probe it also
    /// returns the rest, the name of a scope or a subsystem.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<(Probe, Option<&'p str>)> {
        let path = without_slash(path);
        self.paths.iter().find_map(|(own, probe)| {
            if own == path {
                return Some((*probe, None));
            }
            let name = (*probe == Probe::Readiness).then(|| below(own, path))??;
            Some((*probe, Some(name)))
        })
    }
}

fn second_byte(path: &str) -> u8 {
    path.as_bytes().get(1).copied().unwrap_or(b'/')
}

/// Removes one trailing slash, unless the path is `/`.
fn without_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(path) => path,
    }
}

/// Returns the part of `path` after `parent` and a slash. No path counts as below
/// `/`, because otherwise every path would.
fn below<'p>(parent: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(parent)?
        .strip_prefix('/')
        .filter(|_| parent != "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_exactly_but_for_one_trailing_slash() {
        let routes = Routes::default();
        assert_eq!(routes.find("/livez"), Some((Probe::Liveness, None)));
        assert_eq!(routes.find("/livez/"), Some((Probe::Liveness, None)));
        for other in [
            "/livez//", "/Livez", "/livezz", "/live", "livez", "/", "", "*", "/livez/x",
        ] {
            assert_eq!(routes.find(other), None, "{other}");
        }
    }

    #[test]
    fn only_readiness_has_names_below() {
        let routes = Routes::default();
        assert_eq!(
            routes.find("/readyz/storage"),
            Some((Probe::Readiness, Some("storage")))
        );
        assert_eq!(
            routes.find("/readyz/storage/"),
            Some((Probe::Readiness, Some("storage")))
        );
        assert_eq!(
            routes.find("/readyz/a/b"),
            Some((Probe::Readiness, Some("a/b")))
        );
        assert_eq!(routes.find("/readyz-not"), None);
        assert_eq!(routes.find("/healthz/storage"), None);
    }

    #[test]
    fn a_probe_can_move_and_its_old_path_is_free() {
        let mut routes = Routes::default();
        routes.set(Probe::Liveness, "/alive".into()).unwrap();
        assert_eq!(routes.find("/alive"), Some((Probe::Liveness, None)));
        assert_eq!(routes.find("/livez"), None);
        routes.set(Probe::Health, "/livez".into()).unwrap();
        assert_eq!(routes.find("/livez"), Some((Probe::Health, None)));
    }

    #[test]
    fn a_probe_can_stand_at_the_root() {
        let mut routes = Routes::default();
        routes.set(Probe::Readiness, "/".into()).unwrap();
        assert_eq!(routes.find("/"), Some((Probe::Readiness, None)));
        assert_eq!(routes.find("/livez"), Some((Probe::Liveness, None)));
        assert_eq!(routes.find("/storage"), None);
    }

    #[test]
    fn a_removed_probe_matches_nothing() {
        let mut routes = Routes::default();
        routes.remove(Probe::Status);
        assert_eq!(routes.find("/statusz"), None);
    }

    #[test]
    fn invalid_paths_are_rejected_and_change_nothing() {
        let mut routes = Routes::default();
        let mut refused = |path: &str| routes.set(Probe::Liveness, path.into()).unwrap_err();
        for path in ["", "livez", "http://x/livez"] {
            assert!(
                matches!(refused(path), PathError::Relative { .. }),
                "{path}"
            );
        }
        for path in ["/a?b", "/a#b", "/a b", "/a\n", "/a/", "//", "/ä"] {
            assert!(
                matches!(refused(path), PathError::Malformed { .. }),
                "{path}"
            );
        }
        for (path, by) in [
            ("/readyz", Probe::Readiness),
            ("/readyz/live", Probe::Readiness),
            ("/statusz", Probe::Status),
        ] {
            let error = refused(path);
            assert!(
                matches!(error, PathError::Taken { probe, .. } if probe == by),
                "{error}"
            );
        }
        assert_eq!(routes.find("/livez"), Some((Probe::Liveness, None)));
    }

    #[test]
    fn readiness_cannot_move_above_another_probe() {
        let mut routes = Routes::default();
        routes.set(Probe::Liveness, "/probe/live".into()).unwrap();
        let error = routes.set(Probe::Readiness, "/probe".into()).unwrap_err();
        assert!(matches!(
            error,
            PathError::Taken {
                probe: Probe::Liveness,
                ..
            }
        ));
    }
}
