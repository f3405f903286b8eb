//! Where a town's keys are: with the host, or in a file of the town's folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::key::SigningKey;
use super::ring::KeyRing;
use crate::model::{Error, KeyAlgorithm, Result, Timestamp};

/// The file of the keys, which only its owner can read, and the file that is locked while they change.
const FILE: &str = "keys.json";
const LOCK: &str = "keys.lock";
/// The most bytes of that file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The keys of a town.
#[derive(Debug)]
pub(crate) enum Keys {
    /// The host keeps them, and rotates them itself.
    Given(Arc<KeyRing>),
    /// The town keeps them in this folder.
    InFolder {
        /// It.
        folder: PathBuf,
        /// What was read last, and of which file.
        read: Mutex<Option<(Stamp, Arc<KeyRing>)>>,
    },
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    changed_at: Option<SystemTime>,
    #[cfg(unix)]
    inode: u64,
}

impl Keys {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self::InFolder { folder: folder.to_owned(), read: Mutex::default() }
    }

    /// The ring as it is now, also where another process changed it; made where there is none.
    pub(super) fn ring(&self, now: Timestamp) -> Result<Arc<KeyRing>> {
        let (folder, read) = match self {
            Self::Given(ring) => return Ok(Arc::clone(ring)),
            Self::InFolder { folder, read } => (folder, read),
        };
        let path = folder.join(FILE);
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stamp) = stamp(&path)? else {
            let _lock = lock(folder)?;
            // Another process may have made it meanwhile.
            if self::stamp(&path)?.is_none() {
                write(folder, &KeyRing::new([SigningKey::generate(KeyAlgorithm::EdDsa, now)?])?)?;
            }
            let (stamp, ring) = load(&path)?;
            *read = Some((stamp, Arc::clone(&ring)));
            return Ok(ring);
        };
        if let Some((known, ring)) = read.as_ref()
            && *known == stamp
        {
            return Ok(Arc::clone(ring));
        }
        let (stamp, ring) = load(&path)?;
        *read = Some((stamp, Arc::clone(&ring)));
        Ok(ring)
    }

    /// Puts a new key in front; the others verify for so long.
    pub(super) fn rotate(&self, algorithm: KeyAlgorithm, kept: Duration, now: Timestamp) -> Result<Arc<KeyRing>> {
        let Self::InFolder { folder, .. } = self else {
            let said = "the host keeps the keys; give it a ring with a new one in front";
            return Err(Error::conflict("keys_of_host", said));
        };
        // The first ring of a town is made before, so that there is one to go on from.
        self.ring(now)?;
        let _lock = lock(folder)?;
        let (_, ring) = load(&folder.join(FILE))?;
        write(folder, &KeyRing::clone(&ring).rotated(algorithm, kept, now)?)?;
        self.ring(now)
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    let shown = path.display();
    let error = match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::forbidden("keys_unusable", format!("the town's keys in {shown} cannot be used here"))
        }
        _ => Error::unavailable("keys_unusable", format!("the town's keys in {shown} cannot be used")),
    };
    error.with("path", shown).because(source)
}

fn stamp(path: &Path) -> Result<Option<Stamp>> {
    match path.symlink_metadata() {
        Ok(found) => stamp_of(path, &found).map(Some),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, source)),
    }
}

/// Refuses what is no file, or can be read by others than its owner.
fn stamp_of(path: &Path, found: &std::fs::Metadata) -> Result<Stamp> {
    let exposed = |said: &str| {
        let said = format!("the town's keys in {} {said}", path.display());
        Err(Error::forbidden("keys_exposed", said).with("path", path.display()))
    };
    if !found.is_file() {
        return exposed("are no file");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        if found.permissions().mode() & 0o077 != 0 {
            return exposed("can be read or written by others than their owner; take those rights away (chmod 600)");
        }
        Ok(Stamp { bytes: found.len(), changed_at: found.modified().ok(), inode: found.ino() })
    }
    #[cfg(not(unix))]
    Ok(Stamp { bytes: found.len(), changed_at: found.modified().ok() })
}

fn load(path: &Path) -> Result<(Stamp, Arc<KeyRing>)> {
    let file = File::open(path).map_err(|source| failed(path, source))?;
    let stamp = stamp_of(path, &file.metadata().map_err(|source| failed(path, source))?)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|source| failed(path, source))?;
    let ring = KeyRing::from_text(&text).map_err(|source| {
        Error::corrupt("keys_unreadable", format!("the town's keys in {} cannot be read", path.display()))
            .with("path", path.display())
            .because(source)
    })?;
    Ok((stamp, Arc::new(ring)))
}

/// Writes the ring beside its place and gives it its name once it is on disk.
fn write(folder: &Path, ring: &KeyRing) -> Result<()> {
    let draft = folder.join(format!("{FILE}.draft"));
    let write = || {
        match std::fs::remove_file(&draft) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(source),
            // What a killed process left is of no use.
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(ring.to_text().expose().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, folder.join(FILE))?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| failed(folder, source))
}

/// The right to change the keys of a folder; it ends with this.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(&path).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|source| failed(&path, source))
}
