//! Unix.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::Access;

/// Makes a directory and its parents, for this user only. One that is there stays as it is.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Options that make files for this user only.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Takes a file from all other users. By its path: closing a descriptor of a database file drops `SQLite`'s locks.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// Whether this process may make files in a directory.
pub(crate) fn check_writable(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether `path` still names the open `file`.
pub(crate) fn names(path: &Path, file: &File) -> io::Result<bool> {
    let (open, named) = match (file.metadata()?, fs::symlink_metadata(path)) {
        (open, Ok(named)) => (open, named),
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        (_, Err(error)) => return Err(error),
    };
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

/// The kind of network file system that `path` is on, if it is on one.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn network_fs(path: &Path) -> io::Result<Option<&'static str>> {
    let magic = i128::from(rustix::fs::statfs(path)?.f_type).rem_euclid(1 << 32);
    Ok(u32::try_from(magic).ok().and_then(network_fs_of))
}

/// The names of the file systems whose locks or shared memory do not hold, by the numbers of `statfs(2)` and
/// `linux/magic.h`. FUSE is not among them: it serves local disks too.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn network_fs_of(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "nfs",
        0x517b => "smb",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x564c => "ncp",
        0x0102_1997 => "9p",
        0x5346_414f | 0x6b41_4653 => "afs",
        0x7375_7245 => "coda",
        0x00c3_6400 => "ceph",
        0x0bd0_0bd0 => "lustre",
        0x4750_4653 => "gpfs",
        0x0116_1970 => "gfs2",
        0x7461_636f => "ocfs2",
        0x1983_0326 => "beegfs",
        0xaad7_aaea => "panfs",
        0x786f_4256 => "vboxsf",
        _ => return None,
    })
}

/// The kind of network file system that `path` is on, if it is on one.
#[cfg(target_vendor = "apple")]
pub(crate) fn network_fs(path: &Path) -> io::Result<Option<&'static str>> {
    /// `MNT_LOCAL` of `sys/mount.h`.
    const LOCAL: u32 = 0x1000;
    Ok((rustix::fs::statfs(path)?.f_flags & LOCAL == 0).then_some("not local"))
}

/// The kind of network file system that `path` is on: not known here.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn network_fs(_path: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn local_disks_are_no_network() {
        for (magic, name) in [
            (0xef53, None),
            (0x0102_1994, None),
            (0x6573_5546, None),
            (0x6969, Some("nfs")),
            (0xff53_4d42, Some("cifs")),
        ] {
            assert_eq!(network_fs_of(magic), name);
        }
        assert_eq!(network_fs(&std::env::temp_dir()).unwrap(), None);
    }
}
