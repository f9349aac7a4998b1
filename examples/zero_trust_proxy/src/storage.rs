//! The sessions, in an embedded store.

use redb::{Database, ReadableTable, TableDefinition};
use same_file::Handle;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::spawn_blocking;

/// How many requests a user has made.
const SESSIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("sessions");

/// How often the store was asked whether it works.
const CHECKS: TableDefinition<'_, (), u64> = TableDefinition::new("checks");

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct Storage {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Clone)]
struct Open {
    database: Arc<Database>,
    /// Distinguishes the file from another that has its path later.
    file: Arc<Handle>,
}

impl Open {
    fn at(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            database: Arc::new(Database::open(path)?),
            file: Arc::new(Handle::from_path(path)?),
        })
    }
}

impl Storage {
    pub(crate) fn create(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("sessions.redb");
        // The file is created only here: later, a missing file is a failure, and an
        // empty one does not replace it.
        drop(Database::create(&path)?);
        Ok(Self {
            open: Mutex::new(Open::at(&path)?),
            path,
        })
    }

    /// Counts a request of the user.
    pub(crate) async fn count(&self, user: &'static str) -> Result<u64, Error> {
        let open = self.opened();
        spawn_blocking(move || add_one(&open.database, SESSIONS, user)).await?
    }

    /// The check of the storage. It writes, because the proxy needs to write, and it uses
    /// the file at the path, so that a replaced file shows.
    pub(crate) async fn prove(self: Arc<Self>) -> Result<(), Error> {
        spawn_blocking(move || {
            let in_words = |error| format!("{}: {error}", self.path.display()).into();
            self.use_it().map_err(in_words)
        })
        .await?
    }

    fn use_it(&self) -> Result<(), Error> {
        let file = Handle::from_path(&self.path)?;
        let mut open = self.opened();
        if file != *open.file {
            open = Open::at(&self.path)?;
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open.clone();
        }
        add_one(&open.database, CHECKS, ()).map(drop)
    }

    fn opened(&self) -> Open {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone()
    }

    // === faults ===

    /// Moves the file away.
    pub(crate) fn lose(&self) -> io::Result<()> {
        fs::rename(&self.path, self.elsewhere())
    }

    /// Puts another file into its place.
    pub(crate) fn replace(&self) -> io::Result<()> {
        self.lose()?;
        fs::write(&self.path, "no database\n")
    }

    /// Moves it back.
    pub(crate) fn restore(&self) -> io::Result<()> {
        fs::rename(self.elsewhere(), &self.path)
    }

    fn elsewhere(&self) -> PathBuf {
        self.path.with_extension("elsewhere")
    }
}

/// A transaction that reads and writes.
fn add_one<K: redb::Key + 'static>(
    database: &Database,
    table: TableDefinition<'_, K, u64>,
    key: K::SelfType<'_>,
) -> Result<u64, Error> {
    let transaction = database.begin_write()?;
    let count = {
        let mut table = transaction.open_table(table)?;
        let count = table.get(&key)?.map_or(0, |count| count.value()) + 1;
        table.insert(&key, count)?;
        count
    };
    transaction.commit()?;
    Ok(count)
}
