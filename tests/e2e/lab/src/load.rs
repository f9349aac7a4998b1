//! Load at a fixed rate: each request leaves when it is due, independent of the earlier
//! requests.

use crate::{
    BoxError,
    client::{Client, Kind, Protocol},
    tally::{Outcome, Tally},
};
use fastrand::Rng;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// The kinds and the rate of the requests. The same seed gives the same requests.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Requests per second.
    pub(crate) rate: u32,
    pub(crate) seed: u64,
    /// How long slow requests take.
    pub(crate) slow: Duration,
    /// How many of a hundred need the database.
    pub(crate) database_percent: u32,
}

impl Load {
    /// Sends from `start` until `stop`, and waits for the answers.
    pub(crate) async fn run(
        self,
        client: Client,
        start: Instant,
        stop: watch::Receiver<bool>,
    ) -> Result<Tally, BoxError> {
        let client = Arc::new(client);
        let mut rng = Rng::with_seed(self.seed);
        let mut tally = Tally::default();
        let send = |number, due| {
            let (protocol, kind) = self.draw(&mut rng);
            let client = Arc::clone(&client);
            let id = format!("{:08x}-{number}", self.seed);
            async move {
                let lag = start.elapsed().saturating_sub(due);
                let result = client.request(protocol, kind, &id).await;
                Outcome {
                    due,
                    lag,
                    latency: start.elapsed().saturating_sub(due),
                    what: kind.over(protocol),
                    failure: result.err(),
                }
            }
        };
        open_loop(self.rate, start, stop, send, |outcome| tally.add(outcome)).await?;
        Ok(tally)
    }

    /// When a request leaves, from the start.
    pub(crate) fn due(&self, number: u64) -> Duration {
        due(self.rate, number)
    }

    fn draw(&self, rng: &mut Rng) -> (Protocol, Kind) {
        let protocol = match rng.u32(..100) {
            0..70 => Protocol::KeepAlive,
            70..85 => Protocol::Fresh,
            _ => Protocol::Http2,
        };
        let seconds = |seconds: f64| Duration::from_secs_f64(seconds);
        let kind = match rng.u32(..100) {
            0..4 => Kind::Slow(self.slow),
            4..7 => Kind::Upload(seconds(0.5 + rng.f64())),
            7..10 => Kind::Stream(seconds(0.5 + 2.0 * rng.f64())),
            n if n < 10 + self.database_percent => Kind::Database,
            _ => Kind::Plain,
        };
        (protocol, kind)
    }
}

/// Calls `send` at `rate` per second from `start` until told to stop, with the
/// number of the request and the time from `start` at which it is due; waits for
/// the futures that `send` returned, and calls `done` with each output.
pub(crate) async fn open_loop<F>(
    rate: u32,
    start: Instant,
    stop: watch::Receiver<bool>,
    mut send: impl FnMut(u64, Duration) -> F,
    mut done: impl FnMut(F::Output),
) -> Result<(), BoxError>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut requests = JoinSet::new();
    for number in 0_u64.. {
        let due = due(rate, number);
        sleep_until(start + due).await;
        if *stop.borrow() {
            break;
        }
        requests.spawn(send(number, due));
        while let Some(output) = requests.try_join_next() {
            done(output?);
        }
    }
    while let Some(output) = requests.join_next().await {
        done(output?);
    }
    Ok(())
}

fn due(rate: u32, number: u64) -> Duration {
    Duration::from_nanos(number * 1_000_000_000 / u64::from(rate))
}
