//! Budgets: the instructions and allocations of each operation, and the sizes that a
//! request or a snapshot costs, compared with `benches/budgets.txt`, or with
//! `benches/budgets-metrics.txt` where the feature `metrics` is on.
//!
//! `cargo bench --bench budgets` fails when a figure exceeds its budget. With
//! `-- --accept` it rewrites the budgets that no longer fit. Needs valgrind, whose
//! callgrind counts the instructions: a count repeats where a time does not. An
//! allocation costs some 250 instructions here, more than in an application, because
//! the allocator of this binary counts it.
//! Without `--bench` (as `cargo test` runs it) each operation runs once.

mod measures;

use measures::{Measure, measures, sizes};
use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    process::{Command, ExitCode},
};

/// How often an operation runs in one count.
const RUNS: u32 = 1_000;
/// The median of this many counts is taken, because each process hashes with other seeds.
const COUNTS: usize = 3;
/// The change of an instruction count that still fits its budget. No change of another
/// figure does.
const TOLERANCE: f64 = 0.03;
#[cfg(not(feature = "metrics"))]
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budgets.txt");
#[cfg(not(feature = "metrics"))]
const ACCEPT: &str = "cargo bench --bench budgets -- --accept";
/// With the feature, a report and a hold cost more, and a request that is admitted must
/// not.
#[cfg(feature = "metrics")]
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budgets-metrics.txt");
#[cfg(feature = "metrics")]
const ACCEPT: &str = "cargo bench --bench budgets --features metrics -- --accept";

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
        measures().for_each(|measure| (measure.prepare)()());
        sizes();
        return Ok(ExitCode::SUCCESS);
    }
    compare(&toolchain()?, &figures()?, has("--accept"))
}

// === measuring ===

fn find(name: &str) -> &'static Measure {
    let measure = measures().find(|measure| measure.name == name);
    measure.unwrap_or_else(|| panic!("no measure is named {name}"))
}

/// The process that callgrind runs: counts only within `counted_by_callgrind`.
fn run(name: &str) {
    let mut operation = (find(name).prepare)();
    // Threads and tables set themselves up in the first runs.
    for _ in 0..RUNS / 10 {
        operation();
    }
    counted_by_callgrind(&mut *operation);
}

#[inline(never)]
fn counted_by_callgrind(operation: &mut dyn FnMut()) {
    for _ in 0..RUNS {
        operation();
    }
}

/// The instructions of all runs of an operation.
fn instructions(name: &str) -> Result<f64, Error> {
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
    match collected.map(str::parse) {
        Some(Ok(count)) if output.status.success() => Ok(count),
        _ => Err(format!("callgrind has not counted {name}: {log}").into()),
    }
}

fn allocations(name: &str) -> f64 {
    let mut operation = (find(name).prepare)();
    for _ in 0..RUNS / 10 {
        operation();
    }
    let all = allocation_counter::measure(|| (0..RUNS).for_each(|_| operation()));
    all.count_total as f64
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
    for Measure { name, .. } in measures() {
        let counts: Result<Vec<_>, _> = (0..COUNTS).map(|_| instructions(name)).collect();
        let mut counts = counts?;
        counts.sort_by(f64::total_cmp);
        costs.insert(*name, [counts[COUNTS / 2], allocations(name)]);
    }
    let mut figures = Figures::new();
    for Measure { name, baseline, .. } in measures() {
        let Some(baseline) = baseline else { continue };
        let [instructions, allocations] =
            [0, 1].map(|unit| (costs[name][unit] - costs[baseline][unit]) / f64::from(RUNS));
        figures.push((name, Unit::Instructions, instructions));
        figures.push((name, Unit::Allocations, allocations));
    }
    let sizes = sizes()
        .into_iter()
        .map(|(name, bytes)| (name, Unit::Bytes, bytes as f64));
    figures.extend(sizes);
    Ok(figures)
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
            Self::Allocations | Self::Bytes => 0.0,
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
            return Err(format!("{FILE}: not a measure, a unit and a budget: {row}").into());
        };
        let unit = Unit::ALL.into_iter().find(|it| it.to_string() == unit);
        let unit = unit.ok_or_else(|| format!("{FILE}: an unknown unit: {row}"))?;
        Ok(((name, unit), budget.parse()?))
    })
    .collect()
}

/// Prints each figure beside its budget. With `accept`, replaces the budgets that
/// no longer fit; the others stay, so that small growth cannot add up unseen.
fn compare(toolchain: &str, figures: &Figures, accept: bool) -> Result<ExitCode, Error> {
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let mut budgets = parse(&text)?;
    let mut rows = format!(
        "# Budgets of operations and sizes; `{ACCEPT}` replaces those that no longer fit.\n\
         # {toolchain}\n"
    );
    let (mut broken, mut fallen) = (Vec::new(), Vec::new());
    println!(
        "{:28}{:14}{:>10}{:>10}",
        "measure", "unit", "budget", "figure"
    );
    for &(name, unit, figure) in figures {
        // As many digits as the file keeps.
        let figure = (figure * 100.0).round() / 100.0;
        let row = format!("{name:28}{unit:14}");
        let Some(budget) = budgets.remove(&(name, unit)) else {
            println!("{row}{:>10}{figure:10.2}", "none");
            broken.push(format!("{row} has no budget"));
            rows += &format!("{row}{figure:10.2}\n");
            continue;
        };
        println!("{row}{budget:10.2}{figure:10.2}");
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
        fs::write(FILE, rows)?;
        println!(
            "\n{} budgets replaced in {FILE}",
            fallen.len() + broken.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    if !fallen.is_empty() {
        println!("\nLower the budgets of the figures that fell with `{ACCEPT}`.");
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nMake the operations that grew cheaper. If the cost is worth it, accept it with\n\
         `{ACCEPT}` and give the reason in the commit."
    );
    Ok(ExitCode::FAILURE)
}
