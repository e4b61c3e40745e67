//! Reading: one picture of the index, which does not move while it is looked at.

use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::error::IndexError;
use crate::model::Seal;

/// Typed reads from one moment of the index.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    connection: &'a Connection,
    seal: &'a dyn Seal,
}

impl<'a> Reader<'a> {
    pub(super) fn new(connection: &'a Connection, seal: &'a dyn Seal) -> Self {
        Self { connection, seal }
    }

    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    pub(super) fn seal(&self) -> &'a dyn Seal {
        self.seal
    }

    /// Every row of a statement, each read by `read`.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, IndexError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The first row of a statement, if there is one.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, IndexError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params, read).optional()?)
    }
}
