//! Names of local users and groups.

use crate::auth::UnixPeer;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Maximum number of cached ids per file. Peers choose the ids, so the cache must be bounded.
const MAX_CACHED: usize = 1_024;

/// Names of local users and groups, looked up on first use.
///
/// The lookup reads the files only. A directory service on the network could block the daemon, and
/// a peer without a name is still identified by its id (DM-1006).
#[derive(Debug)]
pub struct AccountNames {
    users: NameCache,
    groups: NameCache,
}

#[derive(Debug)]
struct NameCache {
    file: PathBuf,
    /// Names by id; `None` for an id without a name. Peers share the strings.
    cached: HashMap<u32, Option<Arc<str>>>,
}

impl Default for AccountNames {
    /// Uses `/etc/passwd` and `/etc/group`.
    fn default() -> AccountNames {
        AccountNames::from_files(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }
}

impl AccountNames {
    fn from_files(users: &Path, groups: &Path) -> AccountNames {
        let names = |file: &Path| NameCache {
            file: file.to_owned(),
            cached: HashMap::new(),
        };
        AccountNames {
            users: names(users),
            groups: names(groups),
        }
    }

    /// Sets the names of the peer's user and group; `None` where the files have none.
    pub fn fill_in(&mut self, peer: &mut UnixPeer) {
        peer.user = self.users.lookup(peer.uid);
        peer.group = self.groups.lookup(peer.gid);
    }
}

impl NameCache {
    fn lookup(&mut self, id: u32) -> Option<Arc<str>> {
        if let Some(cached) = self.cached.get(&id) {
            return cached.clone();
        }
        if self.cached.len() >= MAX_CACHED {
            self.cached.clear();
        }
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let name = find_name(&text, id).map(Arc::from);
        self.cached.insert(id, name.clone());
        name
    }
}

/// Finds the name in a line `NAME:PASSWORD:ID:…`.
fn find_name(text: &str, id: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == id && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_in_leaves_ids_without_a_name_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (users, groups) = (dir.path().join("passwd"), dir.path().join("group"));
        fs::write(
            &users,
            "root:x:0:0:root:/root:/bin/sh\nbroken\nfred:x:7:8::/:\n",
        )
        .unwrap();
        let mut names = AccountNames::from_files(&users, &groups);
        let mut peer = UnixPeer {
            uid: 7,
            gid: 8,
            pid: 1,
            start_time: None,
            user: None,
            group: None,
            selinux_context: None,
        };
        names.fill_in(&mut peer);
        assert_eq!((peer.user.as_deref(), peer.group), (Some("fred"), None));
    }

    #[test]
    fn cache_of_unknown_ids_is_bounded() {
        let mut names = AccountNames::from_files(Path::new("/nothing"), Path::new("/nothing"));
        for id in 0..5_000 {
            assert_eq!(names.users.lookup(id), None);
        }
        assert!(names.users.cached.len() <= MAX_CACHED);
    }
}
