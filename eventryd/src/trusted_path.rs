//! Symbolic links on the path of a file, and users that can replace the file by them or by its directories.

use rustix::fs::{FileType, Stat, lstat, readlink, stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Maximum number of symbolic links that the kernel follows in a path.
const MAX_LINKS: usize = 40;

/// Bit of a directory in which only the owner of an entry may remove or rename it.
const STICKY: u32 = 0o1000;

const ROOT: u32 = 0;

/// Users that can replace a file, in the order of their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Replacer {
    User(u32),
    Group(u32),
    Everyone,
}

/// Directory or symbolic link by which users other than root and that of the daemon can replace a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Threat {
    pub(crate) by: Replacer,
    /// Clause that names the directory or the link.
    pub(crate) reason: String,
    /// Command that removes the threat.
    pub(crate) remedy: String,
}

/// Owner, group and permission bits of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DirectoryAccess {
    owner: u32,
    group: u32,
    mode: u32,
}

/// Last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastComponent {
    /// An existing file, or a link that is followed.
    Existing,
    /// A name under which a file is created. The sticky bit does not protect it.
    New,
}

/// Returns the threats to the file that an absolute path names, from the root directory to the file. `own` is the user of
/// the daemon. The owner and the mode of the file itself are not judged.
///
/// Symbolic links are followed one by one, because each of their directories counts. What does not exist, or cannot be
/// examined, is no threat: the caller gets an error when it opens the file.
pub(crate) fn threats_to(path: &Path, last: LastComponent, own: u32) -> Vec<Threat> {
    let mut threats = Vec::new();
    let mut directory = PathBuf::from("/");
    let mut names = names_of(path);
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == ".." {
            directory.pop();
            continue;
        }
        let Ok(found) = stat(&directory) else { break };
        let entry_path = directory.join(&name);
        let is_new = last == LastComponent::New && names.is_empty();
        let entry = lstat(&entry_path).ok().filter(|_| !is_new);
        let owner = entry.as_ref().map(|entry| entry.st_uid);
        add(
            &mut threats,
            threat_of_directory(&directory, access(&found), owner, own),
        );
        let Some(entry) = entry else { break };
        if FileType::from_raw_mode(entry.st_mode) != FileType::Symlink {
            directory = entry_path;
            continue;
        }
        add(
            &mut threats,
            threat_of_link(&entry_path, owner, access(&found), own),
        );
        links += 1;
        let Ok(target) = readlink(&entry_path, Vec::new()) else {
            break;
        };
        if links > MAX_LINKS {
            break;
        }
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            directory = PathBuf::from("/");
        }
        let mut followed = names_of(&target);
        followed.append(&mut names);
        names = followed;
    }
    threats
}

/// Follows the symbolic links that a path ends in. The result is no link, and need not exist.
///
/// # Errors
///
/// [`Errno::LOOP`] for more links than the kernel follows.
pub(crate) fn follow_links(path: &Path) -> Result<PathBuf, Errno> {
    let mut path = path.to_owned();
    for _ in 0..=MAX_LINKS {
        let Ok(target) = readlink(&path, Vec::new()) else {
            return Ok(path);
        };
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(Errno::LOOP)
}

/// Returns the components of a path without the root and without `.`.
fn names_of(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

fn access(found: &Stat) -> DirectoryAccess {
    DirectoryAccess {
        owner: found.st_uid,
        group: found.st_gid,
        mode: found.st_mode & 0o7777,
    }
}

fn add(threats: &mut Vec<Threat>, threat: Option<Threat>) {
    threats.extend(threat.filter(|threat| !threats.contains(threat)));
}

const fn is_trusted(user: u32, own: u32) -> bool {
    user == ROOT || user == own
}

/// Returns the threat to an entry of a directory. `entry_owner` is `None` if the entry does not exist yet.
///
/// A group root is no threat: its members administrate the machine. The sticky bit protects what exists and belongs to
/// a trusted user; other entries are judged by themselves.
fn threat_of_directory(
    directory: &Path,
    access: DirectoryAccess,
    entry_owner: Option<u32>,
    own: u32,
) -> Option<Threat> {
    let shown = directory.display();
    let DirectoryAccess { owner, group, mode } = access;
    let is_protected = mode & STICKY != 0 && entry_owner.is_some();
    let writer = if is_protected {
        None
    } else if mode & 0o002 != 0 {
        Some((Replacer::Everyone, "o-w"))
    } else if mode & 0o020 != 0 && group != ROOT {
        Some((Replacer::Group(group), "g-w"))
    } else {
        None
    };
    if let Some((by, change)) = writer {
        return Some(Threat {
            by,
            reason: format!("the directory {shown} has mode {mode:04o}, in which others may write"),
            remedy: format!("run `chmod {change} {shown}`"),
        });
    }
    (!is_trusted(owner, own)).then(|| Threat {
        by: Replacer::User(owner),
        reason: format!("the directory {shown} belongs to the user {owner}"),
        remedy: format!("run `chown {own} {shown}`"),
    })
}

/// Returns the threat by the owner of a symbolic link, who can replace it in a sticky directory.
fn threat_of_link(
    link: &Path,
    owner: Option<u32>,
    directory: DirectoryAccess,
    own: u32,
) -> Option<Threat> {
    let owner = owner.filter(|owner| !is_trusted(*owner, own))?;
    let is_sticky = directory.mode & STICKY != 0 && directory.mode & 0o022 != 0;
    let shown = link.display();
    is_sticky.then(|| Threat {
        by: Replacer::User(owner),
        reason: format!("the symbolic link {shown} belongs to the user {owner}"),
        remedy: format!("run `chown -h {own} {shown}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Returns the users that can replace an entry of `entry_owner` in a directory, for a daemon of the user 7.
    fn replacer(owner: u32, group: u32, mode: u32, entry_owner: Option<u32>) -> Option<Replacer> {
        let access = DirectoryAccess { owner, group, mode };
        threat_of_directory(Path::new("/d"), access, entry_owner, 7).map(|threat| threat.by)
    }

    #[test]
    fn directory_of_root_or_the_daemon_is_no_threat() {
        for owner in [0, 7] {
            for (group, mode) in [(107, 0o755), (107, 0o1755), (107, 0o700), (0, 0o775)] {
                assert_eq!(replacer(owner, group, mode, Some(0)), None, "{mode:o}");
                assert_eq!(replacer(owner, group, mode, None), None, "{mode:o}");
            }
        }
    }

    #[test]
    fn owner_group_and_others_are_threats() {
        assert_eq!(
            replacer(1000, 0, 0o700, Some(0)),
            Some(Replacer::User(1000))
        );
        assert_eq!(
            replacer(1000, 0, 0o1777, Some(0)),
            Some(Replacer::User(1000))
        );
        assert_eq!(replacer(0, 107, 0o775, Some(0)), Some(Replacer::Group(107)));
        assert_eq!(replacer(0, 107, 0o777, Some(0)), Some(Replacer::Everyone));
        assert_eq!(replacer(0, 0, 0o757, Some(0)), Some(Replacer::Everyone));
        assert!(Replacer::User(9) < Replacer::Group(1) && Replacer::Group(9) < Replacer::Everyone);
    }

    #[test]
    fn sticky_bit_protects_what_exists() {
        assert_eq!(replacer(0, 0, 0o1777, None), Some(Replacer::Everyone));
        assert_eq!(replacer(0, 0, 0o1777, Some(0)), None);
        assert_eq!(replacer(0, 107, 0o1770, None), Some(Replacer::Group(107)));
    }

    #[test]
    fn link_of_another_user_is_a_threat_in_a_sticky_directory() {
        let threat = |owner, mode| {
            let (owner, group) = (Some(owner), 0);
            let directory = DirectoryAccess {
                owner: 0,
                group,
                mode,
            };
            threat_of_link(Path::new("/d/l"), owner, directory, 7).map(|threat| threat.by)
        };
        assert_eq!(threat(1000, 0o1777), Some(Replacer::User(1000)));
        assert_eq!(threat(1000, 0o1755), None);
        assert_eq!(threat(1000, 0o755), None);
        assert_eq!((threat(0, 0o1777), threat(7, 0o1777)), (None, None));
    }

    #[test]
    fn every_directory_and_link_on_the_path_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (name, mode) in [("a", 0o777), ("a/b", 0o755), ("c", 0o755), ("open", 0o777)] {
            fs::create_dir(root.join(name)).unwrap();
            fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
        }
        fs::write(root.join("a/b/file"), "").unwrap();
        fs::write(root.join("c/file"), "").unwrap();
        symlink("../a/b/file", root.join("c/to_file")).unwrap();
        symlink(root.join("a"), root.join("c/to_a")).unwrap();
        symlink("loop", root.join("c/loop")).unwrap();
        symlink(root.join("c"), root.join("open/to_c")).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let everyone = |path: &str, last| -> Vec<String> {
            let threats = threats_to(&root.join(path), last, own).into_iter();
            let everyone = threats.filter(|threat| threat.by == Replacer::Everyone);
            everyone.map(|threat| threat.remedy).collect()
        };
        let remedy = |name: &str| format!("run `chmod o-w {}`", root.join(name).display());
        let existing = LastComponent::Existing;
        for (path, expected) in [
            ("a/b/file", Some("a")),
            ("c/file", None),
            ("c/to_file", Some("a")),
            ("c/to_a/b/file", Some("a")),
            ("open/to_c/file", Some("open")),
            ("open/../c/./file", None),
            ("c/../a/b/file", Some("a")),
            ("c/loop", None),
            ("c/missing/file", None),
        ] {
            let expected: Vec<String> = expected.map(remedy).into_iter().collect();
            assert_eq!(everyone(path, existing), expected, "{path}");
        }
        // A name that is created is not followed, and its directory counts.
        assert_eq!(
            everyone("c/to_file", LastComponent::New),
            Vec::<String>::new()
        );
        assert_eq!(everyone("open/new", LastComponent::New), [remedy("open")]);
    }
}
