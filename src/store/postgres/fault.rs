//! What goes wrong in PostgreSQL, as errors of a store.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::SqlState;

use crate::store::StoreError;
use crate::store::columns::Unreadable;

/// What went wrong while a statement ran.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// PostgreSQL's words, or those of the connection.
    #[error("{}", words(.0))]
    Sql(#[from] tokio_postgres::Error),
    /// A row that this build cannot read.
    #[error("{0}")]
    Unreadable(String),
    /// Nothing was asked, for there was no connection to ask on; what to do.
    #[error("{0}")]
    NotReached(String),
}

impl From<Unreadable> for Fault {
    fn from(Unreadable(what): Unreadable) -> Self {
        Self::Unreadable(what)
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => Self::Sql(error),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => Self::NotReached(
                "all connections are busy; raise `store.connections`, or see what keeps the database busy".to_owned(),
            ),
            PoolError::Timeout(_) => Self::NotReached("it did not answer in time".to_owned()),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::NotReached(format!("no connection could be made: {error}"))
            }
        }
    }
}

/// What an error says, with its causes: the outermost one alone is always the same.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

impl Fault {
    /// A value of one row cannot be read; says nothing about other rows.
    pub(super) fn is_of_one_row(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// The connection is no more: whether the work was done is not known, and another connection may do it.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::NotReached(_) => true,
            Self::Sql(error) => error.code().is_none_or(|code| {
                // Read-only is what a primary becomes whose place another has taken.
                *code == SqlState::READ_ONLY_SQL_TRANSACTION
                    || code.code().starts_with("08")
                    || code.code().starts_with("57P")
                    || *code == SqlState::TOO_MANY_CONNECTIONS
            }),
        }
    }

    /// A database that starts, or is not reached yet: it may be there in a moment.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::NotReached(_) => true,
            Self::Sql(error) => match error.code() {
                Some(code) => code.code().starts_with("57P") || *code == SqlState::TOO_MANY_CONNECTIONS,
                // A certificate that is not believed, or a method that is not known, stays so.
                None => !["TLS", "authentication", "configuration"].iter().any(|it| error.to_string().contains(it)),
            },
        }
    }

    /// What was to be written is the reason: it says nothing about its neighbours.
    pub(super) fn is_of_a_write(&self) -> bool {
        match self {
            Self::Unreadable(_) => true,
            Self::NotReached(_) => false,
            Self::Sql(error) => error.code().is_some_and(|code| {
                // Data, constraints, limits of size; a deadlock, which should not be.
                ["21", "22", "23", "54", "40"].iter().any(|class| code.code().starts_with(class))
            }),
        }
    }

    /// As the caller gets it: what was attempted, and what to do.
    pub(super) fn told(&self, place: &str) -> StoreError {
        let error = match self {
            Self::Unreadable(what) => return StoreError::Corrupt(format!("`{place}`: {what}")),
            Self::NotReached(what) => return StoreError::Unavailable(format!("the database `{place}`: {what}")),
            Self::Sql(error) => error,
        };
        let said = words(error);
        let Some(code) = error.code() else {
            return StoreError::Unavailable(if said.contains("does not allow writes") {
                format!("the database `{place}` is read-only, as a standby is: {said}; name the primary in `store.url`")
            } else if said.contains("TLS") {
                format!(
                    "the database `{place}` cannot be talked to with TLS: {said}; see `sslmode` in `store.url`, and \
                     `store.ca_file`"
                )
            } else {
                format!("cannot reach the database `{place}`: {said}; see that it runs, and `store.url`")
            });
        };
        StoreError::Unavailable(match code.code() {
            "28P01" | "28000" => format!(
                "the database `{place}` refuses the user: {said}; check the user and the password of `store.url`, and \
                 the server's pg_hba.conf"
            ),
            "3D000" => {
                format!("the database `{place}` does not exist: {said}; create it, or name another in `store.url`")
            }
            "53300" => format!(
                "the database `{place}` has no connection left: {said}; raise its max_connections, or lower \
                 `store.connections`"
            ),
            "53100" => format!("the disk of the database `{place}` is full: {said}; make room"),
            "25006" => {
                format!("the database `{place}` is read-only, as a standby is: {said}; name the primary in `store.url`")
            }
            "42501" => format!(
                "the user of the database `{place}` may not do that: {said}; grant it the rights to create and use tables"
            ),
            "55P03" | "57014" => format!("the database `{place}` took too long: {said}; see what keeps it busy"),
            "57P01" | "57P02" | "57P03" => format!("the database `{place}` stops or starts: {said}; try again"),
            "23505" => format!("the database `{place}` holds a row of this id already: {said}"),
            "54000" => format!("a text is too long for the database `{place}`: {said}"),
            "42P01" | "42703" => {
                return StoreError::Corrupt(format!(
                    "the tables of the database `{place}` are not those of this build: {said}; restore a copy, or name \
                     another database"
                ));
            }
            "XX001" | "XX002" => {
                return StoreError::Corrupt(format!("the database `{place}` is damaged: {said}; restore a copy"));
            }
            _ => format!("the database `{place}` did not do what it was asked: {said}"),
        })
    }
}
