//! Tasks by the beginning of their names, newest first.
//!
//! Few are read from the index of names and sorted. Many are found block by block (`migrations/0005_names.sql`): a look
//! into each block of about a thousand tasks, from the newest on, however the tasks lie among the others.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use crate::task::Owner;

/// Those whose name lies in a range, in no useful order.
pub(super) const NAMED: &str = "
    SELECT id FROM tasks INDEXED BY tasks_named WHERE owner = ?1 AND name >= ?2 AND name < ?3 LIMIT ?4";

/// The same by their blocks, the newest block first.
pub(super) const NAMED_IN_BLOCKS: &str = "
    SELECT names.block, names.task FROM blocks CROSS JOIN names
    ON names.owner = ?1 AND names.block = blocks.block AND names.name >= ?2 AND names.name < ?3
    WHERE blocks.first < ?4 AND names.task < ?4 ORDER BY blocks.first DESC";

/// The newest block that begins at or before an id and has one: where it begins, and where the next one does.
pub(super) const BLOCK_WITH_NAMED: &str = "
    SELECT blocks.first, (SELECT first FROM blocks AS next WHERE next.block = blocks.block + 1)
    FROM blocks CROSS JOIN names
    ON names.owner = ?1 AND names.block = blocks.block AND names.name >= ?2 AND names.name < ?3
    WHERE blocks.first <= ?4 ORDER BY blocks.first DESC LIMIT 1";

/// Those of one block, which begins at an id.
pub(super) const NAMED_IN_BLOCK: &str = "
    SELECT task FROM names WHERE owner = ?1 AND name >= ?2 AND name < ?3
    AND block = (SELECT block FROM blocks WHERE first = ?4)";

/// A task's name.
pub(super) const NAME: &str = "SELECT name FROM tasks WHERE id = ?1";

/// Names up to this many are sorted. Tests have few tasks and go both ways.
const FEW: usize = if cfg!(test) { 3 } else { 512 };

/// Names looked up in vain before those of their block are read together.
const PATIENCE: u32 = 4;

/// A beginning of names.
pub(super) struct Names<'a> {
    connection: &'a Connection,
    owner: &'a str,
    prefix: &'a str,
    above: Value,
    /// The block in hand.
    block: Option<Block>,
}

/// A block that has some.
struct Block {
    first: String,
    /// Those looked up in vain.
    misses: u32,
    /// All of it that are called so, oldest first, once they were read.
    ids: Option<Vec<String>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(connection: &'a Connection, owner: &'a Owner, prefix: &'a str) -> Self {
        Self { connection, owner: &owner.0, prefix, above: above(prefix), block: None }
    }

    /// The tasks that are called so, newest first, if they are few.
    pub(super) fn few(&self) -> Result<Option<Vec<String>>, Fault> {
        let mut statement = self.connection.prepare_cached(NAMED)?;
        let limit = i64::try_from(FEW + 1).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![self.owner, self.prefix, self.above, limit])?;
        let mut ids: Vec<String> = Vec::new();
        while let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
        }
        if ids.len() > FEW {
            return Ok(None);
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(ids))
    }

    /// The first so many of them below a bound, newest first.
    pub(super) fn page(&self, below: &str, most: usize) -> Result<Vec<String>, Fault> {
        let mut statement = self.connection.prepare_cached(NAMED_IN_BLOCKS)?;
        let mut rows = statement.query(params![self.owner, self.prefix, self.above, below])?;
        let (mut ids, mut block, mut begins) = (Vec::<String>::new(), None, 0);
        while let Some(row) = rows.next()? {
            let of: i64 = row.get(0)?;
            if block != Some(of) {
                if ids.len() >= most {
                    break;
                }
                ids[begins..].sort_unstable_by(|a, b| b.cmp(a));
                (block, begins) = (Some(of), ids.len());
            }
            ids.push(row.get(1)?);
        }
        ids[begins..].sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(most);
        Ok(ids)
    }

    /// Whether a task is called so. Asked of tasks that are older each time.
    pub(super) fn has(&self, id: &str) -> Result<bool, Fault> {
        if let Some(Block { first, ids: Some(ids), .. }) = &self.block
            && id >= first.as_str()
        {
            return Ok(ids.binary_search_by(|one| one.as_str().cmp(id)).is_ok());
        }
        let mut statement = self.connection.prepare_cached(NAME)?;
        let name: Option<String> = statement.query_row([id], |row| row.get(0))?;
        Ok(name.is_some_and(|name| name.starts_with(self.prefix)))
    }

    /// Below what to look on after a task that is not called so; nothing is left when there is no answer.
    pub(super) fn leap(&mut self, id: String) -> Result<Option<String>, Fault> {
        let Some(mut block) = self.block.take().filter(|block| id >= block.first) else { return self.next_block(id) };
        block.misses += 1;
        if block.ids.is_none() && block.misses > PATIENCE {
            block.ids = Some(self.ids_of(&block.first)?);
        }
        let below = match &block.ids {
            None => id,
            // A blank sorts between an id and every id above it.
            Some(ids) => match ids[..ids.partition_point(|one| *one < id)].last() {
                Some(next) => format!("{next} "),
                None => block.first.clone(),
            },
        };
        self.block = Some(block);
        Ok(Some(below))
    }

    fn next_block(&mut self, id: String) -> Result<Option<String>, Fault> {
        let mut statement = self.connection.prepare_cached(BLOCK_WITH_NAMED)?;
        let block = statement
            .query_row(params![self.owner, self.prefix, self.above, id], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
            })
            .optional()?;
        let Some((first, next)) = block else { return Ok(None) };
        self.block = Some(Block { first, misses: 0, ids: None });
        Ok(Some(next.filter(|next| *next < id).unwrap_or(id)))
    }

    fn ids_of(&self, first: &str) -> Result<Vec<String>, Fault> {
        let mut statement = self.connection.prepare_cached(NAMED_IN_BLOCK)?;
        let found = statement.query_map(params![self.owner, self.prefix, self.above, first], |row| row.get(0))?;
        let mut ids: Vec<String> = found.collect::<rusqlite::Result<_>>()?;
        ids.sort_unstable();
        Ok(ids)
    }
}

/// The first value after all texts with a prefix.
fn above(prefix: &str) -> Value {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The surrogates between are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            text.push(next);
            return Value::Text(text);
        }
    }
    // No text, but every blob sorts after all texts.
    Value::Blob(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::{Value, above};

    #[test]
    fn what_is_above_a_prefix() {
        assert_eq!(above("ab"), Value::Text("ac".to_owned()));
        assert_eq!(above("a\u{10ffff}"), Value::Text("b".to_owned()));
        assert_eq!(above("\u{d7ff}"), Value::Text("\u{e000}".to_owned()));
        assert_eq!(above("\u{10ffff}"), Value::Blob(vec![]));
    }
}
