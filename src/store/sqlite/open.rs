//! Opening the database: everything that could be wrong with it is found before anything is written.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::{Durability, SqliteStore, migrate, todo_recent::Recent};
use crate::store::{Home, StoreError, platform};

/// The oldest good `SQLite`, 3.51.3: earlier ones can lose commits when two connections reset the WAL at once.
pub const MIN_SQLITE: i32 = 3_051_003;

/// How long a write waits for another process. Ours hold the lock for a millisecond or so.
const BUSY: Duration = Duration::from_secs(5);

/// The pause between two tries where `SQLite` does not wait by itself.
const PAUSE: Duration = Duration::from_millis(2);

/// What the WAL file may keep on disk after a checkpoint, in bytes.
const WAL_KEPT: i64 = 8 << 20;

impl SqliteStore {
    /// Opens the database of a home, and makes or migrates it where needed.
    ///
    /// # Errors
    /// [`StoreError::NotADatabase`], [`StoreError::Corrupt`] or [`StoreError::NewerVersion`]: the file is left as it
    /// is. [`StoreError::OldSqlite`], [`StoreError::Busy`], [`StoreError::Full`], [`StoreError::ReadOnly`].
    pub fn open(home: &Home, durability: Durability) -> Result<Self, StoreError> {
        check_sqlite(rusqlite::version_number())?;
        let path = home.database();
        let conn = connect(&path, durability).map_err(|error| error.at(&path))?;
        Ok(Self { conn, path, patience: BUSY, recent: Recent::default() })
    }
}

fn check_sqlite(found: i32) -> Result<(), StoreError> {
    if found < MIN_SQLITE { Err(StoreError::OldSqlite { found, needed: MIN_SQLITE }) } else { Ok(()) }
}

fn connect(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let is_new = match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(StoreError::NotADatabase { path: path.to_owned() }),
        Ok(found) => found.len() == 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(StoreError::io(path, error)),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    if is_new {
        // Before the first byte: the WAL and its index take the mode of the database.
        platform::make_private(path).map_err(|error| StoreError::io(path, error))?;
    }
    conn.busy_timeout(BUSY)?;
    // A file that is refused stays as it is, also when its WAL holds something.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    migrate::version_now(&conn, path, migrate::VERSION)?;
    use_wal(&conn)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "synchronous", if durability == Durability::Full { "full" } else { "normal" })?;
    conn.query_row(&format!("PRAGMA journal_size_limit = {WAL_KEPT}"), [], |_| Ok(()))?;
    conn.set_prepared_statement_cache_capacity(64);
    migrate::migrate(&mut conn, path, &migrate::MIGRATIONS)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(conn)
}

/// Switches to the WAL. `SQLite` does not wait here when two connections switch a new database at once.
fn use_wal(conn: &Connection) -> Result<(), StoreError> {
    let deadline = Instant::now() + BUSY;
    loop {
        match conn.query_row("PRAGMA journal_mode = wal", [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(StoreError::Internal(format!("the database stays in journal mode {mode}"))),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linked_sqlite_is_new_enough_and_an_older_one_is_refused() {
        check_sqlite(rusqlite::version_number()).unwrap();
        assert!(matches!(check_sqlite(3_051_002), Err(StoreError::OldSqlite { found: 3_051_002, .. })));
    }
}
