//! Runs scenarios, and compares each result with the expected one.

use crate::{
    BoxError,
    arms::Arm,
    catalogue, plot, report,
    scenario::{Expected, Finding, Findings},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
Usage: rollout [--full] [--list] [--seed N] [--output DIRECTORY] [NAME ...]

Runs the scenarios whose names contain a NAME, or all of them: the small ones,
or with --full the large ones. --list only names them. The report and the
picture are written to the DIRECTORY, if there is one; for all of the large
ones that is tests/e2e/results.";

/// Fewer failures than this are printed one by one.
const FEW: u64 = 20;

#[derive(Debug, Default)]
pub(crate) struct Options {
    full: bool,
    list: bool,
    help: bool,
    seed: Option<u64>,
    output: Option<PathBuf>,
    names: Vec<String>,
}

impl Options {
    pub(crate) fn parse(args: Vec<String>) -> Result<Self, BoxError> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--full" => options.full = true,
                "--list" => options.list = true,
                "--help" => options.help = true,
                "--seed" => options.seed = Some(value()?.parse()?),
                "--output" => options.output = Some(value()?.into()),
                name if name.starts_with('-') => {
                    return Err(format!("unknown option {name}\n{USAGE}").into());
                }
                _ => options.names.push(arg),
            }
        }
        if options.full && options.names.is_empty() {
            options.output.get_or_insert("tests/e2e/results".into());
        }
        Ok(options)
    }

    fn picks(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part.as_str()))
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, BoxError> {
    if options.help {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut scenarios = if options.full {
        catalogue::full()
    } else {
        catalogue::small()
    };
    scenarios.retain(|scenario| options.picks(scenario.name));
    if scenarios.is_empty() {
        return Err("no scenario has such a name; --list names them".into());
    }
    if options.list {
        for scenario in &scenarios {
            println!("{}: {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }

    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}\n");
    let mut report = Report::new(seed);
    let mut wrong = Vec::new();
    for scenario in scenarios {
        let name = scenario.name;
        let mut findings = scenario
            .run(seed)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        let section = report::section(&mut findings);
        println!("{section}");
        for finding in &findings.arms {
            let few = (1..FEW).contains(&finding.tally.failures());
            if few && finding.expected == Expected::Anything {
                println!("{}, {}", finding.arm, finding.tally.examples());
            }
            if let Some(complaint) = complaint(finding) {
                eprintln!("WRONG: {name}, {}: {complaint}\n", finding.arm);
                wrong.push(name);
            }
        }
        report.add(&findings, &section);
        if let Some(directory) = &options.output {
            // After each scenario, so that the report survives the failure of a later one.
            report.write(directory, &findings)?;
        }
    }
    if report.requests > 0 {
        println!("{}", report.headline());
    }
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not as expected: {}", wrong.join(", "));
    Ok(ExitCode::FAILURE)
}

/// How a result differs from the expected one.
fn complaint(finding: &Finding) -> Option<String> {
    let tally = &finding.tally;
    if tally.sent == 0 {
        return Some("nothing was sent".to_owned());
    }
    match finding.expected {
        Expected::NoLoss if tally.failures() > 0 => {
            Some(format!("lost {}; {}", tally.causes(), tally.examples()))
        }
        Expected::Loss if tally.failures() == 0 => {
            Some("lost nothing, though a protection was off".to_owned())
        }
        _ => None,
    }
}

/// All sections so far, and the sum of the headline's scenarios.
struct Report {
    seed: u64,
    sections: String,
    drains: u32,
    requests: u64,
    failures: u64,
}

impl Report {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            sections: String::new(),
            drains: 0,
            requests: 0,
            failures: 0,
        }
    }

    fn add(&mut self, findings: &Findings, section: &str) {
        self.sections.push('\n');
        self.sections.push_str(section);
        if !catalogue::HEADLINE.contains(&findings.scenario.name) {
            return;
        }
        for finding in findings
            .arms
            .iter()
            .filter(|finding| finding.arm == Arm::OURS)
        {
            self.drains += finding.drains;
            self.requests += finding.tally.sent;
            self.failures += finding.tally.failures();
        }
    }

    fn headline(&self) -> String {
        format!(
            "tower-readiness in {}: {} requests over {} drains, {} failed.",
            catalogue::HEADLINE.join(", "),
            report::thousands(self.requests),
            self.drains,
            report::thousands(self.failures),
        )
    }

    fn write(&self, directory: &Path, findings: &Findings) -> Result<(), BoxError> {
        fs::create_dir_all(directory)?;
        let text = format!(
            "{}\n{}\n\nSeed {}.\n{}",
            report::PREFACE,
            self.headline(),
            self.seed,
            self.sections
        );
        fs::write(directory.join("rollout.md"), text)?;
        if findings.scenario.name == catalogue::PICTURED {
            plot::draw(findings, &directory.join("rollout.svg"))?;
        }
        Ok(())
    }
}
