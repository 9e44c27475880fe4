//! What servers there are: a file each in `<home>/servers`, written before its server is started.
//!
//! The password is in none of them. A record is removed by its owner once the server is gone, or, where the owner died,
//! by the next process that opens a pool.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    fault::Fault,
    store::{Home, StoreError, instance, private},
    sys::process::{Adopted, Identity},
    task::{InstanceId, Timestamp},
};

/// The variable that names a server's record in its environment and in that of all that it starts.
pub const MARK: &str = "SORTIE_SERVER";

/// A server that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Which server: its owner and a number.
    pub id: String,
    /// Whose it is: the pool whose instance lock this is.
    pub owner: InstanceId,
    /// Its process. None for the moment until it is known.
    #[serde(default)]
    pub process: Option<Identity>,
    /// The port that it listens on, or soon will.
    pub port: u16,
    /// The project that it was started for.
    pub directory: String,
    /// When it was started.
    pub started_at: Timestamp,
}

/// A server as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is written down.
    pub record: Record,
    /// Whether its process lives.
    pub runs: bool,
    /// Whether its owner lives.
    pub owned: bool,
}

impl Record {
    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends its server and all that this started; returns whether there was anything.
    pub(super) async fn end(&self) -> bool {
        let mark = (MARK, self.id.as_str());
        let groups = match self.process {
            Some(process) => vec![Adopted::new(process, Some(mark))],
            // Its owner was killed before it could note it.
            None => Adopted::marked(mark),
        };
        let mut any = false;
        for group in groups {
            any |= group.end().await;
        }
        any
    }

    pub(super) fn write(&self, home: &Home) -> Result<(), StoreError> {
        private::make_dir(&home.servers())?;
        private::write(&file_of(home, &self.id), self)
    }

    pub(super) fn remove(&self, home: &Home) {
        let path = file_of(home, &self.id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // The next process finds its server gone and removes it.
                tracing::warn!(path = %path.display(), %error, "the record of a server was not removed");
            }
            _ => {}
        }
    }
}

/// All servers that are written down in a home, the oldest first. Reads small files: call it where that may block.
///
/// # Errors
/// When the directory cannot be read. A file that is no record is left out.
pub fn list(home: &Home) -> Result<Vec<Found>, Fault> {
    let found = |record: Record| Found {
        runs: record.process.is_some_and(Identity::is_alive),
        owned: instance::is_alive(home, record.owner),
        record,
    };
    let mut all: Vec<_> = read(home)?.into_iter().map(found).collect();
    all.sort_by(|one, other| (one.record.started_at, &one.record.id).cmp(&(other.record.started_at, &other.record.id)));
    Ok(all)
}

/// Ends the servers of dead owners; returns how many were running still. Opening a pool does so by itself.
///
/// # Errors
/// When the directory cannot be read.
pub async fn sweep(home: &Home) -> Result<usize, Fault> {
    let mut ended = 0;
    for record in read(home)? {
        if instance::is_alive(home, record.owner) {
            continue;
        }
        if record.end().await {
            tracing::warn!(server = record.id, port = record.port, "ended a server that its owner left behind");
            ended += 1;
        }
        record.remove(home);
    }
    Ok(ended)
}

fn read(home: &Home) -> Result<Vec<Record>, Fault> {
    let directory = home.servers();
    let fail = |source| Fault::from(StoreError::io(&directory, source));
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // Its server has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fail(error)),
        };
        match serde_json::from_str::<Record>(&text) {
            // What is done to a record is done to the file of its name.
            Ok(record) if path == file_of(home, &record.id) => records.push(record),
            Ok(_) => tracing::warn!(path = %path.display(), "the record of a server is under another's name"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "no record of a server"),
        }
    }
    Ok(records)
}

fn file_of(home: &Home, id: &str) -> PathBuf {
    home.servers().join(format!("{id}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::InstanceLock;

    fn owner(n: u8) -> InstanceId {
        InstanceId::new(Timestamp(1), &[n; 10])
    }

    fn record(owner: InstanceId, n: u32) -> Record {
        let (id, directory) = (format!("{owner}-{n}"), "/p".to_owned());
        Record { id, owner, process: None, port: 1, directory, started_at: Timestamp(i64::from(9 - n)) }
    }

    #[tokio::test]
    async fn records_of_the_dead_are_swept_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        assert_eq!(list(&home).unwrap(), []);
        let alive = InstanceLock::acquire(&home, owner(1)).unwrap();
        let own = Record { process: Identity::of(std::process::id()), ..record(alive.id(), 1) };
        // Its number is this process's, but it began at another time: it is not touched.
        let reused = Identity { pid: std::process::id(), birth: 1 };
        let dead = Record { process: Some(reused), ..record(owner(2), 2) };
        for record in [&own, &dead] {
            record.write(&home).unwrap();
        }
        for (name, text) in [("notes.txt", "mine"), ("x.json", "{"), ("../outside.json", "{}")] {
            fs::write(home.servers().join(name), text).unwrap();
        }
        fs::write(home.servers().join("y.json"), serde_json::to_string(&record(owner(3), 3)).unwrap()).unwrap();
        let found = list(&home).unwrap();
        assert_eq!(
            found.iter().map(|found| (found.runs, found.owned)).collect::<Vec<_>>(),
            [(false, false), (true, true)]
        );
        assert_eq!(found[1].record, own);
        assert_eq!(sweep(&home).await.unwrap(), 0);
        assert_eq!(list(&home).unwrap(), [found[1].clone()]);
        assert!(home.servers().join("notes.txt").exists() && home.servers().join("y.json").exists());
        own.remove(&home);
        own.remove(&home);
        assert_eq!(list(&home).unwrap(), []);
    }

    #[test]
    fn what_a_record_says_stays_readable() {
        let text = r#"{"id":"a-1","owner":"ins_01890000000070008000000000000000","process":{"pid":7,"birth":1},
            "port":4097,"directory":"/p","startedAt":5,"newer":true}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!((record.port, record.id.as_str()), (4097, "a-1"));
        assert_eq!(serde_json::from_str::<Record>(&serde_json::to_string(&record).unwrap()).unwrap(), record);
    }
}
