//! Clients of the admin listener: some follow its events to the end, some come and go.

use crate::{
    Error,
    asker::{self, Events},
    connection::Connection,
    load::Tally,
};
use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_local},
    time::{sleep, timeout},
};

const FOLLOWERS: usize = 4;
const VISITORS: usize = 4;

/// Fails a follower that misses the last version.
const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Followers {
    ends: Rc<Cell<bool>>,
    last: watch::Sender<Option<u64>>,
    followers: Vec<JoinHandle<Result<(), Error>>>,
    visitors: Vec<JoinHandle<()>>,
}

impl Followers {
    /// Starts the clients. The caller runs in a [`LocalSet`](tokio::task::LocalSet).
    pub(crate) async fn start(address: SocketAddr, tally: &Rc<Tally>) -> Result<Self, Error> {
        let (last, _) = watch::channel(None);
        let mut followers = Vec::new();
        for _ in 0..FOLLOWERS {
            let mut connection = Connection::open(address).await?;
            let events = Events::open(&mut connection).await?;
            followers.push(spawn_local(follow(connection, events, last.subscribe())));
        }
        let ends = Rc::new(Cell::new(false));
        let visitor = |_| spawn_local(visit(address, Rc::clone(tally), Rc::clone(&ends)));
        let visitors = (0..VISITORS).map(visitor).collect();
        Ok(Self {
            ends,
            last,
            followers,
            visitors,
        })
    }

    /// Ends the clients, once the followers have seen this version.
    pub(crate) async fn end(self, version: u64, tally: &Tally) -> Result<(), Error> {
        self.ends.set(true);
        self.last.send_replace(Some(version));
        for follower in self.followers {
            match timeout(SOON, follower).await {
                Ok(ended) => {
                    if let Err(error) = ended? {
                        tally.fail(&format!("a follower of events: {error}"));
                    }
                }
                Err(_) => tally.fail("a follower of events misses the last version"),
            }
        }
        for visitor in self.visitors {
            visitor.await?;
        }
        Ok(())
    }
}

/// Reads events until the last version is known and has come.
async fn follow(
    _connection: Connection,
    mut events: Events,
    mut last: watch::Receiver<Option<u64>>,
) -> Result<(), Error> {
    let version = tokio::select! {
        ended = events.follow(u64::MAX) => return ended,
        version = last.wait_for(Option::is_some) => version?.unwrap_or_default(),
    };
    events.follow(version).await
}

async fn visit(address: SocketAddr, tally: Rc<Tally>, ends: Rc<Cell<bool>>) {
    let once = async || asker::visit(&mut Connection::open(address).await?).await;
    while !ends.get() {
        if let Err(error) = once().await {
            tally.fail(&format!("a visitor of the admin listener: {error}"));
            sleep(Duration::from_millis(100)).await;
        }
    }
}
