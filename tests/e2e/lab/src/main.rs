//! The proof: replicas of a demo service behind a real HAProxy under constant
//! load, while they are restarted, scaled, replaced and broken. Run it by
//! `tests/e2e/rollout`. And connections that are kept while replicas are replaced; run
//! that by `tests/e2e/connections`.

mod answer;
mod arms;
mod balancer;
mod catalogue;
mod client;
mod connections;
mod delayed;
mod fleet;
mod kept;
mod load;
mod pinned;
mod plot;
mod ports;
mod remote;
mod replica;
mod report;
mod scenario;
mod script;
mod service;
mod streams;
mod subsystems;
mod suite;
mod tally;
mod temporary;

use std::{env, process::ExitCode};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let mut args = env::args().skip(1).peekable();
    let result = if args.next_if_eq("serve").is_some() {
        serve(args.next())
    } else if args.next_if_eq("load").is_some() {
        load(args.next())
    } else if args.next_if_eq("connections").is_some() {
        // On one thread, so that nothing happens between the moment in which hyper's client
        // finds a connection open and that in which it sends on it.
        let runtime = runtime::Builder::new_current_thread();
        connections::Options::parse(args)
            .and_then(|options| drive(runtime, connections::run(options)))
    } else {
        let runtime = runtime::Builder::new_multi_thread();
        suite::Options::parse(args.collect())
            .and_then(|options| drive(runtime, suite::run(options)))
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One replica. Each has one thread, because there are many replicas.
fn serve(config: Option<String>) -> Result<ExitCode, BoxError> {
    let config = serde_json::from_str(&config.ok_or("serve needs a configuration")?)?;
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(arms::serve(config))?;
    Ok(ExitCode::SUCCESS)
}

/// Load alone, for a service that another program deploys.
fn load(config: Option<String>) -> Result<ExitCode, BoxError> {
    let config = serde_json::from_str(&config.ok_or("load needs a configuration")?)?;
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(remote::run(config))?;
    Ok(ExitCode::SUCCESS)
}

/// The driver. At its end it drops, and so kills, the processes that it started.
fn drive(
    mut runtime: runtime::Builder,
    run: impl Future<Output = Result<ExitCode, BoxError>>,
) -> Result<ExitCode, BoxError> {
    runtime.enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            run = run => run,
            _ = terminate.recv() => Ok(ExitCode::from(143)),
            _ = interrupt.recv() => Ok(ExitCode::from(130)),
        }
    })
}
