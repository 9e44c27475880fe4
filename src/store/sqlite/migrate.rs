//! The schema's versions. They only go forward; each is one file that is never edited after its release.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// Every migration, the oldest first.
pub(super) const MIGRATIONS: [&str; 9] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
];

/// The schema's version: how many migrations made it.
#[expect(clippy::cast_possible_wrap, reason = "there are few migrations")]
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// What marks a database as ours: `Sort` in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x536f_7274;

/// Which version the database is of: zero for an empty one. Only reads.
fn version(conn: &Connection, path: &Path, known: i64) -> Result<i64, StoreError> {
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    if application == APPLICATION_ID {
        return if version > known {
            Err(StoreError::NewerVersion { path: path.to_owned(), found: version, known })
        } else {
            Ok(version)
        };
    }
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    Err(StoreError::NotADatabase { path: path.to_owned() })
}

/// The same in a transaction of its own: read one by one, the numbers of a database that somebody else is just making
/// would not belong together.
pub(super) fn version_now(conn: &Connection, path: &Path, known: i64) -> Result<i64, StoreError> {
    let tx = conn.unchecked_transaction()?;
    version(&tx, path, known)
}

/// Brings the database to the last of `migrations`, all in one transaction.
pub(super) fn migrate(conn: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found = version_now(conn, path, known)?;
    if found == known {
        return Ok(());
    }
    if found > 0 {
        check(conn, path)?;
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Somebody else may have done it while we waited for the lock.
    let found = version(&tx, path, known)?;
    for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known)?;
    Ok(tx.commit()?)
}

/// A damaged database is not migrated. Only here: the check reads the whole file, and opening must not get slower
/// with the number of tasks; damage that a later query meets is reported by that query.
fn check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Corrupt { path: path.to_owned() }) }
}
