//! The names of this machine's users and groups.

use crate::auth::UnixPeer;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many numbers are remembered, so that peers cannot make it grow.
const REMEMBERED: usize = 1_024;

/// The names of local users and groups, looked up when they are first needed.
///
/// Only the files are asked, not a directory on a network: that could keep the daemon waiting, and a number
/// will do (DM-1006).
#[derive(Debug)]
pub struct LocalNames {
    users: Names,
    groups: Names,
}

#[derive(Debug)]
struct Names {
    file: PathBuf,
    /// Shared with every peer that has them.
    known: HashMap<u32, Option<Arc<str>>>,
}

impl Default for LocalNames {
    /// Those of `/etc/passwd` and `/etc/group`.
    fn default() -> LocalNames {
        LocalNames::of(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }
}

impl LocalNames {
    fn of(users: &Path, groups: &Path) -> LocalNames {
        let names = |file: &Path| Names {
            file: file.to_owned(),
            known: HashMap::new(),
        };
        LocalNames {
            users: names(users),
            groups: names(groups),
        }
    }

    /// Adds the names of the peer's user and group, if they have any.
    pub fn add_to(&mut self, peer: &mut UnixPeer) {
        peer.user = self.users.name(peer.uid);
        peer.group = self.groups.name(peer.gid);
    }
}

impl Names {
    fn name(&mut self, number: u32) -> Option<Arc<str>> {
        if let Some(known) = self.known.get(&number) {
            return known.clone();
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let name = name_in(&text, number).map(Arc::from);
        self.known.insert(number, name.clone());
        name
    }
}

/// The name in a line `NAME:PASSWORD:NUMBER:…`.
fn name_in(text: &str, number: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == number && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_name_stays_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let (users, groups) = (dir.path().join("passwd"), dir.path().join("group"));
        fs::write(
            &users,
            "root:x:0:0:root:/root:/bin/sh\nbroken\nfred:x:7:8::/:\n",
        )
        .unwrap();
        let mut names = LocalNames::of(&users, &groups);
        let mut peer = UnixPeer {
            uid: 7,
            gid: 8,
            pid: 1,
            start_time: None,
            user: None,
            group: None,
            selinux_context: None,
        };
        names.add_to(&mut peer);
        assert_eq!((peer.user.as_deref(), peer.group), (Some("fred"), None));
    }

    #[test]
    fn cache_of_unknown_ids_is_bounded() {
        let mut names = LocalNames::of(Path::new("/nothing"), Path::new("/nothing"));
        for number in 0..5_000 {
            assert_eq!(names.users.name(number), None);
        }
        assert!(names.users.known.len() <= REMEMBERED);
    }
}
