use super::readiness::Readiness;

impl Readiness {
    /// Marks the process as reloading its configuration until the guard is
    /// dropped. Traffic and readiness are unaffected, since the old configuration
    /// serves on if the reload fails. (A service manager shows the reload, and when
    /// it is done.)
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
