//! What goes wrong in SQLite, as errors of a store.

use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::types::FromSqlError;

use crate::store::StoreError;
use crate::store::columns::Unreadable as Column;

/// What went wrong while a statement ran.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// SQLite's words.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// A row that this build cannot read.
    #[error("{0}")]
    Unreadable(String),
}

impl From<FromSqlError> for Fault {
    fn from(error: FromSqlError) -> Self {
        Self::Unreadable(format!("a value cannot be read: {error}"))
    }
}

impl From<Column> for Fault {
    fn from(Column(what): Column) -> Self {
        Self::Unreadable(what)
    }
}

impl Fault {
    /// A value of one row cannot be read; says nothing about other rows.
    pub(super) fn is_of_one_row(&self) -> bool {
        matches!(
            self,
            Self::Unreadable(_)
                | Self::Sql(
                    rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::IntegralValueOutOfRange(..)
                        | rusqlite::Error::InvalidColumnType(..)
                        | rusqlite::Error::Utf8Error(..)
                )
        )
    }

    /// As the caller gets it: what was attempted, and what to do.
    pub(super) fn told(&self, path: &Path) -> StoreError {
        let path = path.display();
        let error = match self {
            Self::Unreadable(what) => return StoreError::Corrupt(format!("`{path}`: {what}")),
            Self::Sql(error) => error,
        };
        if self.is_of_one_row() {
            return StoreError::Corrupt(format!("`{path}` holds a value that cannot be read: {error}"));
        }
        StoreError::Unavailable(match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!("the database `{path}` is locked by another program; end that program's transaction")
            }
            Some(ErrorCode::DiskFull) => {
                format!("the disk or the space allowed for the database `{path}` is full; make room")
            }
            Some(ErrorCode::ReadOnly) => {
                format!("the database `{path}` is read-only; make the file and its folder writable for the server")
            }
            Some(ErrorCode::SystemIoFailure) => {
                format!("the disk of the database `{path}` failed ({error}); see whether it is damaged or read-only")
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                format!("cannot open the database `{path}`: {error}; check that its folder exists and is writable")
            }
            Some(ErrorCode::ConstraintViolation) => {
                format!("the database `{path}` holds a row of this id already: {error}")
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                return StoreError::Corrupt(format!(
                    "`{path}` is damaged or is no SQLite database ({error}); restore a copy, or name another file"
                ));
            }
            _ => format!("the database `{path}` did not do what it was asked: {error}"),
        })
    }
}
