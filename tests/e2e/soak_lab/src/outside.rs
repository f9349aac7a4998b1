//! The disturbances from outside: the server is stopped, its cgroup is suspended, its wall
//! clock jumps.

use crate::{Error, child::Server, options::Options};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::sleep;

/// The longest time that the server stands still: longer than the `ttl` of `steady`.
const LONGEST: Duration = Duration::from_secs(3);

/// Longer than the library keeps an offset in its cache.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// By how many seconds the wall clock may differ from the offset that was set.
const CLOCK_TOLERANCE: u64 = 30;

pub(crate) struct Outside {
    pid: Pid,
    cgroup: Option<Cgroup>,
    clock: Option<Clock>,
    stops: u64,
    suspensions: u64,
    jumps: u64,
}

impl Outside {
    /// Prepares the disturbances that `options` ask for. The server has this clock.
    pub(crate) fn new(
        server: &Server,
        clock: Option<Clock>,
        options: &Options,
    ) -> Result<Self, Error> {
        let pid = server.pid()?;
        let cgroup = if options.cgroup {
            let cgroup = Cgroup::new(pid).map_err(|error| {
                format!(
                    "the cgroup of the server cannot be made: {error}; run as root where \
                     cgroup v2 is mounted, or give --no-cgroup"
                )
            });
            Some(cgroup?)
        } else {
            None
        };
        Ok(Self {
            pid,
            cgroup,
            clock,
            stops: 0,
            suspensions: 0,
            jumps: 0,
        })
    }

    /// Disturbs the server for this time, and lets it run afterwards.
    pub(crate) async fn disturb(
        &mut self,
        server: &mut Server,
        time: Duration,
    ) -> Result<(), Error> {
        let ends = Instant::now() + time;
        for turn in 0_u64.. {
            sleep(Duration::from_millis(fastrand::u64(500..3000))).await;
            let left = ends.saturating_duration_since(Instant::now());
            if left < LONGEST {
                sleep(left).await;
                break;
            }
            let still = LONGEST.mul_f64(fastrand::f64());
            match turn % 3 {
                0 => {
                    kill_process(self.pid, Signal::STOP)?;
                    sleep(still).await;
                    kill_process(self.pid, Signal::CONT)?;
                    self.stops += 1;
                }
                1 => {
                    if let Some(cgroup) = &self.cgroup {
                        cgroup.freeze(true).await?;
                        sleep(still).await;
                        cgroup.freeze(false).await?;
                        self.suspensions += 1;
                    }
                }
                _ => {
                    if let Some(clock) = &self.clock {
                        clock.jump(server).await?;
                        self.jumps += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stopped               {:>12}", self.stops)?;
        writeln!(f, "suspended             {:>12}", self.suspensions)?;
        write!(f, "jumps of the clock    {:>12}", self.jumps)
    }
}

/// A cgroup of version 2 with the server alone, removed when it is dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(pid: Pid) -> Result<Self, Error> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut mounts = mounts.lines().map(|line| line.split(' '));
        let root = mounts.find_map(|mut fields| {
            let (folder, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "cgroup2").then(|| folder.to_owned())
        });
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let root = PathBuf::from(root.ok_or("no cgroup v2 is mounted")?);
        let own = root.join(own.ok_or("this process has no cgroup v2")?);
        let folder = own.join(format!("soak-{}", process::id()));
        let at = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        fs::create_dir(&folder).map_err(|error| at(&folder, error))?;
        let cgroup = Self(folder);
        let members = cgroup.0.join("cgroup.procs");
        let number = pid.as_raw_nonzero().to_string();
        fs::write(&members, number).map_err(|error| at(&members, error))?;
        Ok(cgroup)
    }

    /// Suspends or resumes the server, and waits until the kernel has done so.
    async fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let word = u8::from(frozen);
        fs::write(self.0.join("cgroup.freeze"), word.to_string())?;
        let expected = format!("frozen {word}");
        for _ in 0..10_000 {
            let events = fs::read_to_string(self.0.join("cgroup.events"))?;
            if events.lines().any(|line| line == expected) {
                return Ok(());
            }
            sleep(Duration::from_millis(1)).await;
        }
        Err(format!("the cgroup does not get {expected}").into())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel removes a cgroup only after its last process.
        for _ in 0..1000 {
            let _ = fs::write(self.0.join("cgroup.kill"), "1");
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        eprintln!("soak: {} is left behind", self.0.display());
    }
}

/// The wall clock of the server, which libfaketime reads from a file.
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    pub(crate) fn new() -> Result<Self, Error> {
        let library = fs::read_dir("/usr/lib")?.flatten().find_map(|folder| {
            let library = folder.path().join("faketime/libfaketimeMT.so.1");
            library.exists().then_some(library)
        });
        let missing = "libfaketime is missing; install the Debian package faketime, or give \
                       --no-clock";
        let file = env::temp_dir().join(format!("soak-{}.clock", process::id()));
        let clock = Self {
            library: library.ok_or(missing)?,
            file,
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// The environment of the server. Its other clocks stay true.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Seconds.
            ("FAKETIME_CACHE_DURATION", "1".into()),
        ]
    }

    fn set(&self, offset: i64) -> io::Result<()> {
        // The library never reads half a file.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset:+}\n"))?;
        fs::rename(new, &self.file)
    }

    /// Lets the clock jump by up to a month, and makes sure that it does.
    async fn jump(&self, server: &mut Server) -> Result<(), Error> {
        let offset = fastrand::i64(-2_600_000..2_600_000);
        self.set(offset)?;
        let begin = Instant::now();
        loop {
            let theirs: i64 = server.command("wall clock").await?.parse()?;
            let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            let found = theirs - i64::try_from(ours.as_secs())?;
            if found.abs_diff(offset) <= CLOCK_TOLERANCE {
                return Ok(());
            }
            if begin.elapsed() > NOTICED_WITHIN {
                let error = format!(
                    "libfaketime does not work: the wall clock of the server is {found} seconds \
                     ahead instead of {offset}; give --no-clock to go without it"
                );
                return Err(error.into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // A drop cannot return the error.
        let _ = fs::remove_file(&self.file);
    }
}
