use super::readiness::Readiness;

impl Readiness {
    /// Says that the process reloads its configuration, until the guard is
    /// dropped. Nothing else depends on it: traffic is served and readiness is
    /// what the subsystems say, for a reload that fails leaves what was there.
    /// (A service manager wants to know, to show it and to say when it is done.)
    ///
    /// Reloads may overlap; the process reloads while any guard is alive.
    pub fn reloading(&self) -> ReloadGuard {
        self.registry().report(|_, draft| {
            let reloads = draft.reloads();
            reloads.begun += 1;
            reloads.under_way += 1;
        });
        ReloadGuard {
            readiness: self.clone(),
        }
    }
}

/// Keeps the process reloading until dropped; see [`Readiness::reloading`].
#[derive(Debug)]
#[must_use = "the process reloads only as long as the guard is alive"]
pub struct ReloadGuard {
    readiness: Readiness,
}

impl Drop for ReloadGuard {
    fn drop(&mut self) {
        self.readiness
            .registry()
            .report(|_, draft| draft.reloads().under_way -= 1);
    }
}
