//! Texts that many tasks share, each kept once.
//!
//! A process may hold thousands of tasks of one project, asked by one session, for a handful of agents and models: each
//! of these texts is in memory once, however many tasks, copies of a task and rows read from the store name it.

use std::{
    borrow::Borrow,
    collections::HashSet,
    fmt,
    ops::Deref,
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// From how many names on it is looked for those that nobody holds any more.
const ROOM: usize = 256;

static NAMES: LazyLock<Mutex<Table>> = LazyLock::new(|| Mutex::new(Table::new()));

/// A text that is in memory once. A clone is a count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

struct Table {
    names: HashSet<Arc<str>>,
    /// At how many names it is swept next: twice as many as were in use the last time.
    room: usize,
}

impl Table {
    fn new() -> Self {
        Self { names: HashSet::new(), room: ROOM }
    }

    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return Arc::clone(name);
        }
        if self.names.len() >= self.room {
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.room = ROOM.max(2 * self.names.len());
        }
        let name: Arc<str> = Arc::from(text);
        self.names.insert(Arc::clone(&name));
        name
    }
}

impl Name {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Name {
    /// The empty one.
    fn default() -> Self {
        Self::from("")
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(text))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Name {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Name> for String {
    fn from(name: &Name) -> Self {
        name.as_str().to_owned()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for Name {
    fn as_ref(&self) -> &Path {
        Path::new(self.as_str())
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Name {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Name> for String {
    fn eq(&self, other: &Name) -> bool {
        self == other.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_memory_once_and_not_longer_than_somebody_holds_it() {
        let mut table = Table::new();
        let kept = table.get("general");
        assert!(Arc::ptr_eq(&kept, &table.get("general")));
        for number in 0..10 * ROOM {
            table.get(&format!("passing {number}"));
        }
        assert!(table.names.len() <= ROOM, "{} names", table.names.len());
        assert!(Arc::ptr_eq(&kept, &table.get("general")));
    }

    #[test]
    fn what_is_read_from_rows_is_the_same_text() {
        let one: Name = serde_json::from_str("\"a/model\"").unwrap();
        let other: Name = serde_json::from_str("\"a/model\"").unwrap();
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_eq!(serde_json::to_string(&one).unwrap(), "\"a/model\"");
    }
}
