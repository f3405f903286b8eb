//! The listening end: one process at a time has a town's socket.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::address;
use super::connection::{self, Connection};
use super::holders::Holders;
use super::service::Service;
use crate::model::{Error, Result};

/// The bounds of a socket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketOptions {
    /// How many callers may be connected; further ones are told so and let go.
    pub connections_max: usize,
    /// How many of them may be with one token, or with tokens that were made of it.
    pub connections_of_token_max: usize,
    /// How many requests of one caller are worked on at a time; further ones are not read before one is done.
    pub requests_max: usize,
    /// How long a caller has for its first message.
    pub hello_within: Duration,
    /// How long a caller may leave an answer unread, or a frame that it began unfinished, before it is let go.
    pub read_within: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_of_token_max: 64,
            requests_max: 32,
            hello_within: Duration::from_secs(5),
            read_within: Duration::from_secs(30),
        }
    }
}

/// A socket that is open until this is dropped.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    task: JoinHandle<()>,
    /// Whoever holds it may remove the socket: it cannot be a living one's.
    lock: File,
}

impl Listening {
    /// Opens the socket at this path and serves it in the current tokio runtime.
    ///
    /// One that a killed process left is replaced; a living one's never.
    ///
    /// # Errors
    /// `socket_taken` while another process has it, `socket_unusable`, `socket_exposed`.
    pub fn open(path: &Path, service: Arc<dyn Service>, options: SocketOptions) -> Result<Self> {
        address::prepare(path)?;
        let unusable = |source: io::Error| {
            Error::unavailable("socket_unusable", format!("the socket {} cannot be opened", path.display()))
                .with("path", path.display())
                .because(source)
        };
        let lock = path.with_extension("lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock).map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                Error::conflict("socket_taken", format!("another process has the socket {}", path.display()))
                    .with("path", path.display())
            }
            TryLockError::Error(source) => unusable(source),
        })?;
        remove(path).map_err(unusable)?;
        let listener = UnixListener::bind(path).map_err(unusable)?;
        // Until here it has the rights of the process's mask; who comes in meanwhile is asked for its user all the same.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(unusable)?;
        let task = tokio::spawn(accept(listener, service, options));
        Ok(Self { path: path.to_owned(), task, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is served; not any more where its tokio runtime is gone.
    pub fn is_open(&self) -> bool {
        !self.task.is_finished()
    }

    /// Closes the socket and lets every caller go; requests that are worked on are dropped.
    pub async fn close(mut self) {
        self.task.abort();
        // It ends by being aborted, and there is nothing else that it could say.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a socket stays behind");
        }
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "the lock of a socket stays until the process ends");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn accept(listener: UnixListener, service: Arc<dyn Service>, options: SocketOptions) {
    /// How long it waits where the process has no more files to open.
    const PAUSE: Duration = Duration::from_millis(100);
    let places = Arc::new(Semaphore::new(options.connections_max));
    let options = Arc::new(options);
    let holders = Holders::default();
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a connection of the socket panicked");
            }
        }
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the socket took no caller");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let connection =
            Connection { service: Arc::clone(&service), options: Arc::clone(&options), holders: holders.clone() };
        match (check_peer(&stream), Arc::clone(&places).try_acquire_owned()) {
            (Ok(()), Ok(place)) => {
                connections.spawn(async move {
                    connection.serve(stream).await;
                    drop(place);
                });
            }
            (Ok(()), Err(_)) => {
                let said = format!("the socket has {} callers, which is the most", options.connections_max);
                let error = Error::exhausted("connections_exhausted", said);
                connection::refuse_at_once(&stream, &error.with("connections_max", options.connections_max));
            }
            (Err(error), _) => connection::refuse_at_once(&stream, &error),
        }
    }
}

/// Refuses who is another user.
fn check_peer(stream: &UnixStream) -> Result<()> {
    let refused = || Error::forbidden("peer_refused", "the caller is another user than the town's");
    let peer = stream.peer_cred().map_err(|source| refused().because(source))?;
    let ours = Uid::effective().as_raw();
    if peer.uid() == ours { Ok(()) } else { Err(refused().with("uid", peer.uid())) }
}
