//! Budgets: the instructions and allocations of each operation, and the sizes that a
//! request, a snapshot, a member or a connection costs, compared with `benches/budgets.txt`.
//! With some features it compares what they add or change with a file of their own: see
//! `BUILD`.
//!
//! `cargo bench --bench budgets` fails when a figure exceeds its budget. With
//! `-- --accept` it rewrites the budgets that no longer fit. Needs valgrind, whose
//! callgrind counts the instructions: a count repeats where a time does not. An
//! allocation costs some 250 instructions here, more than in an application, because
//! the allocator of this binary counts it.
//! Without `--bench` (as `cargo test` runs it) each operation runs once.

#[cfg(all(feature = "connections", feature = "events"))]
mod connections;
mod measures;
mod members;
mod operation;
mod reports;

use measures::{MEASURES, Measure, SIZES};
use operation::Operation;
use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    path::Path,
    process::{Command, ExitCode},
};

/// The median of this many counts is taken, because each process hashes with other seeds.
const COUNTS: usize = 3;
/// The change of an instruction count that still fits its budget.
const TOLERANCE: f64 = 0.03;
/// The same for allocations: into how many parts a socket splits an answer may cost one of
/// thousands. No change of a size fits.
const TOLERANCE_OF_ALLOCATIONS: f64 = 0.001;

/// What is compared in a build with these features.
struct Build {
    /// The options of cargo.
    options: &'static str,
    file: &'static str,
    /// The operations and the sizes, or `None` for all.
    only: Option<&'static [&'static str]>,
}

const BUILD: Build = if cfg!(feature = "metrics") {
    // A report and a hold cost more, and a request that is admitted must not.
    Build {
        options: " --features metrics",
        file: "benches/budgets-metrics.txt",
        only: Some(&[
            "admit_in_place",
            "admit_cloned",
            "count_in_flight",
            "observe_outcomes",
            "refuse",
            "hold_then_admit",
            "report_repeated",
            "heartbeat",
            "member_changed_of_5000",
            "group_turned_of_5000",
            "scrape_of_16",
        ]),
    }
} else if cfg!(all(feature = "connections", feature = "events")) {
    Build {
        options: " --features connections,events",
        file: "benches/budgets-connections.txt",
        only: Some(&["event_to_100_streams", "tracked_connection"]),
    }
} else {
    Build {
        options: "",
        file: "benches/budgets.txt",
        only: None,
    }
};

impl Build {
    fn has(&self, name: &str) -> bool {
        self.only.is_none_or(|only| only.contains(&name))
    }

    /// The command that accepts the figures.
    fn accept(&self) -> String {
        format!("cargo bench --bench budgets{} -- --accept", self.options)
    }
}

type Error = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let has = |flag| arguments.iter().any(|argument| argument == flag);
    if let [flag, name] = &arguments[..] {
        if flag == "--run" {
            run(name);
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !has("--bench") {
        MEASURES.iter().for_each(|measure| (measure.prepare)()());
        SIZES.iter().for_each(|(_, size)| _ = size());
        return Ok(ExitCode::SUCCESS);
    }
    compare(&toolchain()?, &figures()?, has("--accept"))
}

// === measuring ===

fn find(name: &str) -> &'static Measure {
    let measure = MEASURES.iter().find(|measure| measure.name == name);
    measure.unwrap_or_else(|| panic!("no measure is named {name}"))
}

/// Prepares an operation whose threads and tables have set themselves up.
fn prepare(measure: &Measure) -> Operation {
    let mut operation = (measure.prepare)();
    (0..measure.runs / 10).for_each(|_| operation());
    operation
}

/// The process that callgrind runs: counts only within `counted_by_callgrind`.
fn run(name: &str) {
    let measure = find(name);
    counted_by_callgrind(&mut *prepare(measure), measure.runs);
}

#[inline(never)]
fn counted_by_callgrind(operation: &mut dyn FnMut(), runs: u32) {
    for _ in 0..runs {
        operation();
    }
}

/// The instructions of an operation.
fn instructions(measure: &Measure) -> Result<f64, Error> {
    let Measure { name, runs, .. } = measure;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*counted_by_callgrind*")
        .arg(env::current_exe()?)
        .args(["--run", name])
        // Neither the environment nor the folder may change the count.
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .current_dir("/")
        .output()
        .map_err(|error| format!("cannot run valgrind, install it with apt-get: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log
        .lines()
        .find_map(|line| line.split("Collected : ").nth(1));
    match collected.map(str::parse::<f64>) {
        Some(Ok(count)) if output.status.success() => Ok(count / f64::from(*runs)),
        _ => Err(format!("callgrind has not counted {name}: {log}").into()),
    }
}

/// The allocations of an operation.
fn allocations(measure: &Measure) -> f64 {
    let mut operation = prepare(measure);
    let all = allocation_counter::measure(|| (0..measure.runs).for_each(|_| operation()));
    all.count_total as f64 / f64::from(measure.runs)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Instructions,
    Allocations,
    Bytes,
}

/// What each measure costs: the measure, the unit and the figure.
type Figures = Vec<(&'static str, Unit, f64)>;

fn figures() -> Result<Figures, Error> {
    let mut costs = BTreeMap::new();
    let mut figures = Figures::new();
    for measure in MEASURES {
        let name = measure.name;
        if !BUILD.has(name) && !is_baseline(name) {
            continue;
        }
        let counts: Result<Vec<_>, _> = (0..COUNTS).map(|_| instructions(measure)).collect();
        let mut counts = counts?;
        counts.sort_by(f64::total_cmp);
        costs.insert(name, [counts[COUNTS / 2], allocations(measure)]);
        if let Some(baseline) = measure.baseline.filter(|_| BUILD.has(name)) {
            let [instructions, allocations] =
                [0, 1].map(|unit| costs[name][unit] - costs[baseline][unit]);
            figures.push((name, Unit::Instructions, instructions));
            figures.push((name, Unit::Allocations, allocations));
        }
    }
    let sizes = SIZES.iter().filter(|(name, _)| BUILD.has(name));
    figures.extend(sizes.map(|(name, size)| (*name, Unit::Bytes, size() as f64)));
    Ok(figures)
}

/// Whether the cost of `name` is subtracted from another of this build.
fn is_baseline(name: &str) -> bool {
    let mut measures = MEASURES.iter().filter(|measure| BUILD.has(measure.name));
    measures.any(|measure| measure.baseline == Some(name))
}

/// The compiler and the counter, whose versions change the figures.
fn toolchain() -> Result<String, Error> {
    let version = |program: &str| -> io::Result<String> {
        let output = Command::new(program).arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let valgrind = version("valgrind")
        .map_err(|error| format!("cannot run valgrind, install it with apt-get: {error}"))?;
    Ok(format!(
        "{}, {valgrind}, {}",
        version(&rustc)?,
        env::consts::ARCH
    ))
}

// === comparing ===

impl Unit {
    const ALL: [Self; 3] = [Self::Instructions, Self::Allocations, Self::Bytes];

    /// How far a figure may be from its budget.
    fn tolerance(self, budget: f64) -> f64 {
        match self {
            Self::Instructions => budget.abs() * TOLERANCE,
            Self::Allocations => budget.abs() * TOLERANCE_OF_ALLOCATIONS,
            Self::Bytes => 0.0,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Instructions => "instructions",
            Self::Allocations => "allocations",
            Self::Bytes => "bytes",
        })
    }
}

/// Reads the rows of the file: a measure, a unit and a budget.
fn parse(text: &str) -> Result<BTreeMap<(&str, Unit), f64>, Error> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let [name, unit, budget] = row.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("not a measure, a unit and a budget: {row}").into());
        };
        let unit = Unit::ALL.into_iter().find(|it| it.to_string() == unit);
        let unit = unit.ok_or_else(|| format!("an unknown unit: {row}"))?;
        Ok(((name, unit), budget.parse()?))
    })
    .collect()
}

/// Prints each figure beside its budget. With `accept`, replaces the budgets that
/// no longer fit; the others stay, so that small growth cannot add up unseen.
fn compare(toolchain: &str, figures: &Figures, accept: bool) -> Result<ExitCode, Error> {
    let (file, command) = (BUILD.file, BUILD.accept());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut budgets = parse(&text).map_err(|error| format!("{file}: {error}"))?;
    let mut rows = format!(
        "# Budgets of operations and sizes; `{command}` replaces those that no longer fit.\n\
         # {toolchain}\n"
    );
    let (mut broken, mut fallen) = (Vec::new(), Vec::new());
    println!(
        "{:28}{:14}{:>12}{:>12}",
        "measure", "unit", "budget", "figure"
    );
    for &(name, unit, figure) in figures {
        // As many digits as the file keeps.
        let figure = (figure * 100.0).round() / 100.0;
        let row = format!("{name:28}{unit:14}");
        let Some(budget) = budgets.remove(&(name, unit)) else {
            println!("{row}{:>12}{figure:12.2}", "none");
            broken.push(format!("{row} has no budget"));
            rows += &format!("{row}{figure:10.2}\n");
            continue;
        };
        println!("{row}{budget:12.2}{figure:12.2}");
        let change = figure - budget;
        let fits = change.abs() <= unit.tolerance(budget);
        if !fits {
            let percent = match budget {
                0.0 => String::new(),
                _ => format!(" ({:+.1} %)", 100.0 * change / budget),
            };
            let (list, verb) = match change > 0.0 {
                true => (&mut broken, "grew"),
                false => (&mut fallen, "fell"),
            };
            list.push(format!("{row} {verb} by {change:+.2}{percent}"));
        }
        rows += &format!("{row}{:10.2}\n", if fits { budget } else { figure });
    }
    for (name, unit) in budgets.keys() {
        broken.push(format!(
            "{name:28}{unit:14} has a budget but is not measured"
        ));
    }
    let taken_with = text.lines().nth(1).unwrap_or("# nothing");
    let taken_with = taken_with.trim_start_matches("# ");
    if taken_with != toolchain {
        println!("\nThe budgets were taken with {taken_with},\nthe figures with {toolchain}.");
    }
    for row in fallen.iter().chain(&broken) {
        println!("\n{row}");
    }
    if accept {
        fs::write(&path, rows)?;
        println!(
            "\n{} budgets replaced in {file}",
            fallen.len() + broken.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    if !fallen.is_empty() {
        println!("\nLower the budgets of the figures that fell with `{command}`.");
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nMake the operations that grew cheaper. If the cost is worth it, accept it with\n\
         `{command}` and give the reason in the commit."
    );
    Ok(ExitCode::FAILURE)
}
