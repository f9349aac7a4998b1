//! The file that explains a process after its death.
#![cfg(unix)]

#[path = "support/folder.rs"]
mod folder;

use folder::Folder;
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::geteuid,
};
use std::{
    env,
    fmt::Debug,
    fs::{self, File, OpenOptions},
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tower_readiness::{Readiness, Reporter, Subsystem};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

/// The termination file of a child process.
const CHILD: &str = "TOWER_READINESS_TEST_TERMINATION";

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn vital() -> (Readiness, Reporter) {
    let worker = Subsystem::new("worker").vital();
    let readiness = Readiness::builder().subsystem(worker).build().unwrap();
    let worker = readiness.reporter("worker").unwrap();
    (readiness, worker)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Waits until the file describes the newest snapshot, and returns its text.
fn newest(readiness: &Readiness, path: &Path) -> String {
    let end = format!("; version {}\n", readiness.snapshot().version());
    until(&end, || text(path).ends_with(&end));
    text(path)
}

#[test]
fn the_file_follows_the_process() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    fs::write(&path, "the last message of the process before\n".repeat(9)).unwrap();
    let (readiness, worker) = vital();
    readiness.termination_message(&path);
    let line = newest(&readiness, &path);
    assert!(line.starts_with("never ready; starting since "), "{line}");
    assert!(line.contains(" UTC: worker starting; version "), "{line}");
    assert_eq!(line.lines().count(), 1, "nothing is left of the old text");
    worker.ready();
    let line = newest(&readiness, &path);
    assert!(line.starts_with("ready since "), "{line}");
    let _job = readiness.track();
    worker.dead("poisoned\nlock");
    let line = newest(&readiness, &path);
    assert!(line.contains("; liveness red since "), "{line}");
    assert!(
        line.contains(" UTC: worker dead (poisoned lock); 1 in flight; "),
        "{line}"
    );
    worker.failing("ệ".repeat(400));
    assert!(newest(&readiness, &path).contains("ệệ"), "a long reason");
}

#[test]
fn the_file_is_written_while_the_only_runtime_hangs() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    File::create(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let (readiness, worker) = vital();
        readiness.termination_message(&path);
        worker.dead("stuck");
        // Blocks the runtime until the file is written.
        assert!(newest(&readiness, &path).contains("worker dead (stuck)"));
    });
}

/// The fields of each warning.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn about(&self, path: &Path) -> Vec<String> {
        let path = format!("path=\"{}\"", path.display());
        let warnings = self.0.lock().unwrap();
        let about = warnings.iter().filter(|warning| warning.contains(&path));
        about.cloned().collect()
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Fields(String);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        if *event.metadata().level() == tracing::Level::WARN {
            self.0.lock().unwrap().push(fields.0);
        }
    }
}

/// Reports while `path` cannot be written, then replaces it by a file, and again by a
/// folder.
fn one_warning_for_each_outage(warnings: &Warnings, path: &Path, error: &str) {
    let case = path.display();
    let (readiness, worker) = vital();
    readiness.termination_message(path);
    until(&format!("no warning: {case}"), || {
        !warnings.about(path).is_empty()
    });
    for index in 0..3 {
        worker.failing(format!("{index}"));
        worker.ready();
        // Longer than the pause of the thread, so that it tries again.
        thread::sleep(Duration::from_millis(15));
    }
    assert!(readiness.verdict().is_ready(), "{case}");

    let aside = path.with_extension("aside");
    let folder = path.parent().unwrap();
    if folder.exists() {
        let _ = fs::rename(path, &aside);
    } else {
        fs::create_dir(folder).unwrap();
    }
    File::create(path).unwrap();
    worker.failing("again");
    assert!(newest(&readiness, path).contains("worker failing (again)"));
    let about = warnings.about(path);
    assert_eq!(about.len(), 1, "{about:?}");
    assert!(about[0].contains(error), "{about:?} without {error}");

    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    worker.ready();
    until(&format!("no second warning: {case}"), || {
        warnings.about(path).len() == 2
    });
}

#[test]
fn a_file_that_cannot_be_written_is_one_warning_and_hurts_nothing() {
    let warnings = Warnings::default();
    tracing::subscriber::set_global_default(Registry::default().with(warnings.clone())).unwrap();
    let folder = Folder::new();
    let at = |name: &str| folder.0.join(name);
    let fails = |path: PathBuf, error| one_warning_for_each_outage(&warnings, &path, error);

    fails(at("missing"), "No such file");
    fails(at("no folder/log"), "No such file");

    fs::create_dir(at("folder")).unwrap();
    fails(at("folder"), "Is a directory");

    let target = at("target");
    fs::write(&target, "untouched").unwrap();
    symlink(&target, at("link")).unwrap();
    fails(at("link"), "symbolic links");
    assert_eq!(text(&target), "untouched");

    // Opening it would block.
    mkfifoat(CWD, at("pipe"), Mode::from(0o600)).unwrap();
    fails(at("pipe"), "No such device");
    // Writing to it would block once it is full.
    let pipe = at("read pipe");
    mkfifoat(CWD, &pipe, Mode::from(0o600)).unwrap();
    let mut options = OpenOptions::new();
    let _reader = options.read(true).custom_flags(0o4000).open(&pipe);
    fails(pipe, "not a regular file");

    // Root may write to it.
    if !geteuid().is_root() {
        let path = at("read-only");
        File::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        fails(path, "Permission denied");
    }

    // Even root cannot write to the second.
    #[cfg(target_os = "linux")]
    for (device, error) in [("/dev/full", "not a regular file"), ("/proc/version", "")] {
        let (readiness, worker) = vital();
        readiness.termination_message(device);
        worker.ready();
        let path = Path::new(device);
        until(device, || !warnings.about(path).is_empty());
        let about = warnings.about(path);
        assert!(about[0].contains(error), "{about:?} without {error}");
    }
}

#[test]
fn a_killed_process_has_explained_itself() {
    if let Some(path) = env::var_os(CHILD) {
        let (readiness, worker) = vital();
        readiness.termination_message(path);
        worker.ready();
        let _job = readiness.track();
        worker.dead("poisoned lock");
        loop {
            thread::park();
        }
    }
    let folder = Folder::new();
    let path = folder.0.join("log");
    File::create(&path).unwrap();
    let name = "a_killed_process_has_explained_itself";
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, &path)
        .spawn()
        .unwrap();
    until("the child says nothing", || text(&path).contains("dead"));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let line = text(&path);
    let end = " UTC: worker dead (poisoned lock); 1 in flight; version ";
    assert!(line.contains("; liveness red since "), "{line}");
    assert!(line.contains(end), "{line}");
}
