//! Where a town's socket is.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use sha2::{Digest, Sha256};

use crate::model::{Error, Result};

/// The socket's name in the town's folder.
const NAME: &str = "gastown.sock";

/// The longest path that the address of a socket holds on the systems we know, without the zero behind it.
const PATH_BYTES_MAX: usize = 103;

/// Where the socket of the town in this folder is: in the folder; where that path is too long for a socket's address, in a
/// folder of this user's own under `/tmp`, by a name made of the path.
///
/// It is the same at every start, so what an agent was told stays true while its town's process is another.
pub fn socket_path(town: &Path) -> PathBuf {
    let town = fs::canonicalize(town).unwrap_or_else(|_| town.to_owned());
    let near = town.join(NAME);
    if near.as_os_str().len() <= PATH_BYTES_MAX {
        return near;
    }
    let digest: [u8; 32] = Sha256::digest(town.as_os_str().as_bytes()).into();
    let (half, _) = digest.split_first_chunk::<16>().expect("it has 32 bytes");
    let name = u128::from_be_bytes(*half);
    far_folder().join(format!("{name:032x}.sock"))
}

fn far_folder() -> PathBuf {
    PathBuf::from(format!("/tmp/gastown-{}", Uid::effective()))
}

/// Makes the folder of a socket that is not in its town's, or makes sure that nobody else can put anything there.
pub(super) fn prepare(socket: &Path) -> Result<()> {
    let far = far_folder();
    if socket.parent() != Some(&far) {
        return Ok(());
    }
    let unusable = |source: io::Error| {
        Error::unavailable("socket_unusable", format!("the folder {} cannot be used", far.display()))
            .with("path", far.display())
            .because(source)
    };
    match DirBuilder::new().mode(0o700).create(&far) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
        _ => {}
    }
    check_private(&far, &fs::symlink_metadata(&far).map_err(unusable)?)
}

fn check_private(folder: &Path, found: &fs::Metadata) -> Result<()> {
    let for_others = found.mode() & 0o077;
    if found.is_dir() && found.uid() == Uid::effective().as_raw() && for_others == 0 {
        return Ok(());
    }
    let said = format!("{} is not a folder that only this user can use, so no socket is put there", folder.display());
    Err(Error::forbidden("socket_exposed", said).with("path", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_socket_is_in_its_towns_folder_unless_the_path_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(socket_path(folder.path()), real.join(NAME));
        let deep = folder.path().join("deep".repeat(30));
        fs::create_dir(&deep).unwrap();
        let far = socket_path(&deep);
        assert!(far.starts_with("/tmp") && far.as_os_str().len() <= PATH_BYTES_MAX, "{}", far.display());
        let link = folder.path().join("link");
        symlink(&deep, &link).unwrap();
        assert_eq!(socket_path(&link), far, "by another way it is the same town");
    }

    #[test]
    fn a_folder_that_others_can_use_holds_no_socket() {
        let folder = tempfile::tempdir().unwrap();
        let (private, link) = (folder.path().join("private"), folder.path().join("link"));
        fs::create_dir(&private).unwrap();
        symlink(&private, &link).unwrap();
        let judge = |path: &Path| check_private(path, &fs::symlink_metadata(path).unwrap());
        fs::set_permissions(&private, Permissions::from_mode(0o700)).unwrap();
        judge(&private).unwrap();
        assert_eq!(judge(&link).unwrap_err().code(), "socket_exposed");
        fs::set_permissions(&private, Permissions::from_mode(0o750)).unwrap();
        assert_eq!(judge(&private).unwrap_err().code(), "socket_exposed");
    }
}
