use super::error::ProbesError;
use crate::wire::Probe;

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
        let paths = Probe::ALL
            .iter()
            .map(|probe| (probe.default_path().to_owned(), *probe));
        Self::unchecked(paths.collect())
    }
}

impl Routes {
    /// Checks the paths. Each probe has one path at most.
    pub(super) fn new(paths: Vec<(String, Probe)>) -> Result<Self, ProbesError> {
        for (index, (path, probe)) in paths.iter().enumerate() {
            let (path, probe) = (path.clone(), *probe);
            if !path.starts_with('/') {
                return Err(ProbesError::RelativePath { probe, path });
            }
            let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
            if !path.chars().all(is_plain) || (path.len() > 1 && path.ends_with('/')) {
                return Err(ProbesError::MalformedPath { probe, path });
            }
            let collides = |(other_path, other): &&(String, Probe)| {
                let is_below = |above: &str, path| below(above, path).is_some();
                *other_path == path
                    || (*other == Probe::Readiness && is_below(other_path, &path))
                    || (probe == Probe::Readiness && is_below(&path, other_path))
            };
            // A probe that was moved comes later than those that were not, and is
            // the one to report.
            if let Some((_, taken_by)) = paths[..index].iter().find(collides) {
                let taken_by = *taken_by;
                return Err(ProbesError::TakenPath {
                    probe,
                    path,
                    taken_by,
                });
            }
        }
        Ok(Self::unchecked(paths))
    }

    fn unchecked(paths: Vec<(String, Probe)>) -> Self {
        let mut second_bytes = [false; 256];
        for (path, _) in &paths {
            second_bytes[usize::from(second_byte(path))] = true;
        }
        Self {
            paths,
            second_bytes,
        }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, Probe)> {
        self.paths
            .iter()
            .map(|(path, probe)| (path.as_str(), *probe))
    }

    #[inline]
    pub(super) fn may_find(&self, path: &str) -> bool {
        self.second_bytes[usize::from(second_byte(path))]
    }

    /// Returns the probe at `path`. Below the path of the readiness probe it also
    /// returns the rest, the name of a scope or a subsystem; below that of the status
    /// probe, the name of a group.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<(Probe, Option<&'p str>)> {
        let path = without_slash(path);
        let exact = self.paths.iter().find(|(own, _)| own == path);
        if let Some((_, probe)) = exact {
            return Some((*probe, None));
        }
        self.paths.iter().find_map(|(own, probe)| {
            let has_names = matches!(probe, Probe::Readiness | Probe::Status);
            let name = has_names.then(|| below(own, path))??;
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
    fn readiness_and_status_have_names_below() {
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
        assert_eq!(
            routes.find("/statusz/upstream"),
            Some((Probe::Status, Some("upstream")))
        );
        assert_eq!(routes.find("/readyz-not"), None);
        assert_eq!(routes.find("/healthz/storage"), None);
    }

    /// The routes with these probes moved.
    fn moved<const N: usize>(moves: [(Probe, &str); N]) -> Result<Routes, ProbesError> {
        let mut paths = Routes::default().paths;
        for (probe, path) in moves {
            paths.retain(|(_, other)| *other != probe);
            paths.push((path.to_owned(), probe));
        }
        Routes::new(paths)
    }

    #[test]
    fn the_default_paths_are_valid() {
        let routes = moved([]).unwrap();
        assert!(routes.paths().eq(Routes::default().paths()));
        assert_eq!(routes.paths().count(), Probe::ALL.len());
    }

    #[test]
    fn a_probe_can_move_and_its_old_path_is_free() {
        let routes = moved([(Probe::Health, "/livez"), (Probe::Liveness, "/alive")]).unwrap();
        assert_eq!(routes.find("/alive"), Some((Probe::Liveness, None)));
        assert_eq!(routes.find("/livez"), Some((Probe::Health, None)));
        assert_eq!(routes.find("/healthz"), None);
    }

    #[test]
    fn a_probe_can_stand_below_the_status_probe() {
        let routes = moved([(Probe::Liveness, "/statusz/live")]).unwrap();
        assert_eq!(routes.find("/statusz/live"), Some((Probe::Liveness, None)));
    }

    #[test]
    fn a_probe_can_stand_at_the_root() {
        let routes = moved([(Probe::Readiness, "/")]).unwrap();
        assert_eq!(routes.find("/"), Some((Probe::Readiness, None)));
        assert_eq!(routes.find("/livez"), Some((Probe::Liveness, None)));
        assert_eq!(routes.find("/storage"), None);
    }

    #[test]
    fn a_removed_probe_matches_nothing() {
        let mut paths = Routes::default().paths;
        paths.retain(|(_, probe)| *probe != Probe::Status);
        assert_eq!(Routes::new(paths).unwrap().find("/statusz"), None);
    }

    #[test]
    fn invalid_paths_are_rejected() {
        let refused = |path| moved([(Probe::Liveness, path)]).unwrap_err();
        for path in ["", "livez", "http://x/livez"] {
            let error = refused(path);
            assert!(
                matches!(
                    error,
                    ProbesError::RelativePath {
                        probe: Probe::Liveness,
                        ..
                    }
                ),
                "{path}"
            );
        }
        for path in ["/a?b", "/a#b", "/a b", "/a\n", "/a/", "//", "/ä"] {
            let error = refused(path);
            assert!(matches!(error, ProbesError::MalformedPath { .. }), "{path}");
        }
        for (path, by) in [
            ("/readyz", Probe::Readiness),
            ("/readyz/live", Probe::Readiness),
            ("/statusz", Probe::Status),
        ] {
            let error = refused(path);
            let expected = ProbesError::TakenPath {
                probe: Probe::Liveness,
                path: path.to_owned(),
                taken_by: by,
            };
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn readiness_cannot_move_above_another_probe() {
        let moves = [
            (Probe::Liveness, "/probe/live"),
            (Probe::Readiness, "/probe"),
        ];
        let error = moved(moves).unwrap_err();
        assert!(matches!(
            error,
            ProbesError::TakenPath {
                taken_by: Probe::Liveness,
                ..
            }
        ));
    }
}
