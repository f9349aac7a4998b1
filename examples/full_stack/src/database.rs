//! The database: a pool of connections, a check, and queries whose outcomes count as
//! results of the check.

use deadpool_postgres::{Manager, Pool, PoolError, Runtime};
use std::{error::Error, fmt, time::Duration};
use tokio::time::timeout;
use tokio_postgres::{Config, NoTls};
use tower_readiness::{
    Readiness, Subsystem,
    check::{Check, CheckHandle, CheckHandleError},
};

/// How long a query may take, with the wait for a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes a pool, which connects when a query needs a connection.
pub(crate) fn pool(url: &str) -> Result<Pool, Box<dyn Error>> {
    let config: Config = url.parse()?;
    let pool = Pool::builder(Manager::new(config, NoTls))
        .runtime(Runtime::Tokio1)
        .max_size(8)
        .build()?;
    Ok(pool)
}

/// Declares the database. All replicas share it, so its outage takes none of them out of
/// the load balancer.
pub(crate) fn subsystem(pool: &Pool, interval: Duration) -> Subsystem {
    let pool = pool.clone();
    let check = Check::every(interval).failures(2);
    Subsystem::new("database").shared().check(check, move || {
        let pool = pool.clone();
        async move { query(&pool, "SELECT $1::int4", 1).await.map(drop) }
    })
}

/// Asks the database for the application.
pub(crate) struct Database {
    pool: Pool,
    check: CheckHandle,
}

impl Database {
    pub(crate) fn new(pool: Pool, readiness: &Readiness) -> Result<Self, CheckHandleError> {
        let check = readiness.check_handle("database")?;
        Ok(Self { pool, check })
    }

    /// Divides 100 by a number.
    pub(crate) async fn divide(&self, by: i32) -> Result<i32, QueryError> {
        let result = query(&self.pool, "SELECT 100 / $1::int4", by).await;
        // The check skips its next run after a success, so it asks an idle database only.
        self.check.report_outcome(match &result {
            Err(error) if !error.is_of_the_request() => Err(error),
            _ => Ok(()),
        });
        result
    }
}

async fn query(pool: &Pool, statement: &str, parameter: i32) -> Result<i32, QueryError> {
    let answer = async {
        let client = pool.get().await?;
        let row = client.query_one(statement, &[&parameter]).await?;
        Ok(row.try_get(0)?)
    };
    timeout(PATIENCE, answer)
        .await
        .unwrap_or(Err(QueryError::Late))
}

/// Why a query has no result.
#[derive(Debug)]
pub(crate) enum QueryError {
    Database(tokio_postgres::Error),
    Pool(PoolError),
    Late,
}

impl QueryError {
    /// Whether the request is the cause: the database has answered, and will answer the
    /// next request. (Classes 22 and 23 are errors in the data.)
    pub(crate) fn is_of_the_request(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        let code = error.code().map(|code| code.code());
        code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }
}

/// With all causes, since an operator reads this as the reason of the subsystem.
impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error: &dyn Error = match self {
            Self::Late => return write!(f, "no answer within {PATIENCE:?}"),
            Self::Database(error) | Self::Pool(PoolError::Backend(error)) => error,
            Self::Pool(error) => error,
        };
        write!(f, "{error}")?;
        while let Some(source) = error.source() {
            write!(f, ": {source}")?;
            error = source;
        }
        Ok(())
    }
}

impl Error for QueryError {}

impl From<PoolError> for QueryError {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<tokio_postgres::Error> for QueryError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}
