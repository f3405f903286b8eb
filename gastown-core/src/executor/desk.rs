//! What is laid ready for a session before it starts: its brief, and the place of its workspace.

use std::path::{Path, PathBuf};
#[cfg(feature = "testkit")]
use std::sync::PoisonError;

use serde_json::Value as Json;

use crate::model::{Error, Result, SessionId};

/// Where sessions have their files.
#[derive(Debug)]
pub(crate) struct Desk {
    folder: PathBuf,
    /// Keeps the briefs of a simulation, which leaves the disk alone.
    #[cfg(feature = "testkit")]
    simulation: Option<std::sync::Arc<dyn crate::store::Interference>>,
}

impl Desk {
    /// A folder for each session in this one.
    pub(crate) const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            #[cfg(feature = "testkit")]
            simulation: None,
        }
    }

    /// The same with nothing on disk, where that is part of a simulation.
    #[cfg(feature = "testkit")]
    pub(crate) fn of_simulation(mut self, simulation: Option<std::sync::Arc<dyn crate::store::Interference>>) -> Self {
        self.simulation = simulation;
        self
    }

    fn of(&self, session: &SessionId) -> PathBuf {
        self.folder.join(session.as_str())
    }

    /// The session's workspace.
    pub(crate) fn workspace(&self, session: &SessionId) -> PathBuf {
        self.of(session).join("tree")
    }

    /// The file of the session's brief.
    pub(crate) fn brief(&self, session: &SessionId) -> PathBuf {
        self.of(session).join("brief.json")
    }

    /// Makes the session's folder.
    pub(crate) async fn make(&self, session: &SessionId) -> Result<()> {
        #[cfg(feature = "testkit")]
        if self.simulation.is_some() {
            return Ok(());
        }
        on_disk(&self.of(session), |dir| std::fs::create_dir_all(dir)).await
    }

    /// Lays the brief ready: a reader sees all of it or nothing.
    pub(crate) async fn lay(&self, session: &SessionId, brief: &Json) -> Result<()> {
        let text = brief.to_string();
        #[cfg(feature = "testkit")]
        if let Some(simulation) = &self.simulation {
            simulation.briefs().lock().unwrap_or_else(PoisonError::into_inner).insert(session.clone(), text);
            return Ok(());
        }
        on_disk(&self.brief(session), move |file| write_whole(file, text.as_bytes())).await
    }

    /// Reads the brief that was laid.
    pub(crate) async fn read(&self, session: &SessionId) -> Result<Json> {
        let file = self.brief(session);
        let unreadable = || Error::corrupt("brief_unreadable", format!("{} cannot be read", file.display()));
        #[cfg(feature = "testkit")]
        if let Some(simulation) = &self.simulation {
            let briefs = simulation.briefs().lock().unwrap_or_else(PoisonError::into_inner);
            let text = briefs.get(session).ok_or_else(unreadable)?;
            return serde_json::from_str(text).map_err(|source| unreadable().because(source));
        }
        let text = on_disk(&file, |file| std::fs::read(file)).await?;
        serde_json::from_slice(&text).map_err(|source| unreadable().because(source))
    }

    /// The sessions that have a folder.
    pub(crate) async fn sessions(&self) -> Result<Vec<SessionId>> {
        #[cfg(feature = "testkit")]
        if let Some(simulation) = &self.simulation {
            let briefs = simulation.briefs().lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(briefs.keys().cloned().collect());
        }
        named_in(&self.folder).await
    }

    /// The gates that have a tree in this folder.
    pub(crate) async fn gates(&self, folder: &Path) -> Result<Vec<SessionId>> {
        // Trees are the business of the simulated repository.
        #[cfg(feature = "testkit")]
        if self.simulation.is_some() {
            return Ok(Vec::new());
        }
        named_in(folder).await
    }

    /// Removes the session's folder; nothing where there is none.
    pub(crate) async fn clear(&self, session: &SessionId) -> Result<()> {
        #[cfg(feature = "testkit")]
        if let Some(simulation) = &self.simulation {
            simulation.briefs().lock().unwrap_or_else(PoisonError::into_inner).remove(session);
            return Ok(());
        }
        on_disk(&self.of(session), |dir| match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }
}

/// The sessions after which something in the folder is named; what has another name is not ours.
async fn named_in(folder: &Path) -> Result<Vec<SessionId>> {
    let names = on_disk(folder, |folder| {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<std::io::Result<Vec<_>>>()
    })
    .await?;
    let ids = names.into_iter().filter_map(|name| SessionId::new(name.into_string().ok()?).ok());
    let mut ids: Vec<SessionId> = ids.collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, bytes)?;
    std::fs::File::open(&part)?.sync_all()?;
    std::fs::rename(&part, path)
}

/// Does something with a path on a thread that may block.
async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let place = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&place)).await;
    let unusable = || {
        Error::unavailable("folder_unusable", format!("{} cannot be used", path.display())).with("path", path.display())
    };
    done.map_err(|source| unusable().because(source))?.map_err(|source| unusable().because(source))
}
