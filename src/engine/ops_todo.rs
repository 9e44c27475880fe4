//! What can be asked of the engine about TODO.md.

use super::service::Attachment;
use crate::{
    fault::Fault,
    store::{Revision, Snapshot},
    todo::{
        Operation,
        board::{self, BoardError, Committed},
    },
};

impl Attachment {
    /// TODO.md as it is now.
    ///
    /// # Errors
    /// The store's.
    pub async fn todo_head(&self) -> Result<Snapshot, Fault> {
        self.todo_text(None).await
    }

    /// TODO.md as it was at a revision.
    ///
    /// # Errors
    /// [`crate::fault::Code::TodoNoRevision`], or the store's.
    pub async fn todo_snapshot(&self, rev: u64) -> Result<Snapshot, Fault> {
        self.todo_text(Some(rev)).await
    }

    async fn todo_text(&self, rev: Option<u64>) -> Result<Snapshot, Fault> {
        let key = self.project.key.clone();
        Ok(self.project.store(move |store| store.todo(&key, rev)).await?)
    }

    /// Who changed TODO.md: at most `limit` revisions, newest first, of all or of those before one.
    ///
    /// # Errors
    /// The store's.
    pub async fn todo_history(&self, before: Option<u64>, limit: u32) -> Result<Vec<Revision>, Fault> {
        let key = self.project.key.clone();
        Ok(self.project.store(move |store| store.todo_history(&key, before, limit)).await?)
    }

    /// Changes TODO.md; see [`board::commit`]. The file follows by itself and is not waited for.
    ///
    /// # Errors
    /// Those of [`board::commit`].
    pub async fn todo_commit(
        &self,
        author: &str,
        read: Option<u64>,
        operations: Vec<Operation>,
    ) -> Result<Committed, Fault> {
        let (key, author, now) = (self.project.key.clone(), author.to_owned(), self.now());
        let commit =
            self.project.store(move |store| match board::commit(store, &key, &author, read, &operations, now) {
                Ok(committed) => Ok(Ok(committed)),
                Err(BoardError::Todo(error)) => Ok(Err(error)),
                Err(BoardError::Store(error)) => Err(error),
            });
        let committed = commit.await??;
        self.project.todo_changed();
        Ok(committed)
    }
}
