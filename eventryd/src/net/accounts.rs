//! Names of local users and groups.

use crate::auth::UnixPeer;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Maximum number of bytes that are read of each file.
const MAX_FILE_LEN: u64 = 4 << 20;

/// Names of local users and groups, as they were when the files were read.
///
/// Only files are read. A directory service on the network could block the daemon, and a peer
/// without a name is still identified by its id (DM-1006).
#[derive(Clone, PartialEq, Eq)]
pub struct AccountNames {
    /// Names by id. Peers share the strings.
    users: HashMap<u32, Arc<str>>,
    groups: HashMap<u32, Arc<str>>,
}

impl AccountNames {
    /// Reads `/etc/passwd` and `/etc/group`. An unreadable file has no names. The call may block, so it
    /// is not for the thread of the event loop.
    #[must_use]
    pub fn load() -> AccountNames {
        AccountNames::from_files(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    fn from_files(users: &Path, groups: &Path) -> AccountNames {
        AccountNames {
            users: names_in(&read(users)),
            groups: names_in(&read(groups)),
        }
    }

    /// Sets the names of the peer's user and group; `None` where the files have none.
    pub fn fill_in(&self, peer: &mut UnixPeer) {
        peer.user = self.users.get(&peer.uid).cloned();
        peer.group = self.groups.get(&peer.gid).cloned();
    }
}

impl std::fmt::Debug for AccountNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountNames")
            .field("users", &self.users.len())
            .field("groups", &self.groups.len())
            .finish()
    }
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    // Whatever was read before an error has names, too.
    let _ = File::open(path).and_then(|file| file.take(MAX_FILE_LEN).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds the names in lines `NAME:PASSWORD:ID:…`. The first name of an id counts.
fn names_in(text: &str) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty());
        // The third field ends with a colon, so the last line is not used if it is cut off within it.
        let id = fields.nth(1).filter(|_| fields.next().is_some());
        if let (Some(name), Some(Ok(id))) = (name, id.map(str::parse)) {
            names.entry(id).or_insert_with(|| Arc::from(name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn fill_in_leaves_ids_without_a_name_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (users, groups) = (dir.path().join("passwd"), dir.path().join("group"));
        fs::write(
            &users,
            "root:x:0:0:root:/root:/bin/sh\nbroken\nfred:x:7:8::/:\n",
        )
        .unwrap();
        let names = AccountNames::from_files(&users, &groups);
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
    fn first_complete_line_of_an_id_counts() {
        let names = names_in("a:x:7:1\n:x:8:1\nb:x:7:1\nc:x:y:1\nd:x:70");
        assert_eq!(names, HashMap::from([(7, Arc::from("a"))]));
    }

    #[test]
    fn file_is_read_up_to_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        let long = "#".repeat(MAX_FILE_LEN as usize);
        fs::write(&path, format!("a:x:7:1\n{long}\nb:x:8:1\n")).unwrap();
        assert_eq!(names_in(&read(&path)).len(), 1);
    }
}
