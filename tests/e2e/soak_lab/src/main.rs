//! Runs a server for a long time while it is disturbed, and compares it afterwards with
//! itself: see `tests/e2e/soak --help`.

mod asker;
mod child;
mod connection;
mod driver;
mod followers;
mod load;
mod measure;
mod options;
mod outside;
mod server;

use options::{Mode, Options};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::{alloc::System, process::ExitCode};
use tokio::runtime;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let ended = Options::parse(std::env::args().skip(1)).and_then(|options| match options.mode {
        Mode::Drive => {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(driver::drive(&options))
        }
        Mode::Serve => server::serve(options.fault).map(|()| true),
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}
