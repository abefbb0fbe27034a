//! Access of other users to a private key file (DM-1211).

/// The users besides the owner that the mode of a private key file lets read or replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyExposure {
    /// None.
    Private,
    /// The members of its group, which is not that of root.
    Group,
    /// All users.
    Everyone,
}

/// Returns the exposure of a file with this mode and group.
///
/// A key in the group root is common and exposes nothing: its members administrate the machine. Keys
/// of another group, such as root:qemu with mode 0640, are common with libvirt too, but every
/// program in that group can impersonate the server.
pub(super) const fn key_exposure(mode: u32, group: u32) -> KeyExposure {
    const ROOT: u32 = 0;
    if mode & 0o006 != 0 {
        KeyExposure::Everyone
    } else if mode & 0o060 != 0 && group != ROOT {
        KeyExposure::Group
    } else {
        KeyExposure::Private
    }
}

/// Returns the access of users whose bits are the last three of `mode`, as a verb and its object.
pub(super) const fn access_text(mode: u32) -> &'static str {
    match mode & 0o006 {
        0o006 => "read and change it",
        0o002 => "change it",
        _ => "read it",
    }
}

/// Returns `true` if a key of the user `owner` belongs neither to root nor to the user `own` of the daemon.
pub(super) const fn is_foreign_owner(owner: u32, own: u32) -> bool {
    const ROOT: u32 = 0;
    owner != ROOT && owner != own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_text_names_the_bits_that_are_set() {
        for (mode, text) in [
            (0o644, "read it"),
            (0o605, "read it"),
            (0o602, "change it"),
            (0o663, "change it"),
            (0o666, "read and change it"),
            (0o647, "read and change it"),
        ] {
            assert_eq!(access_text(mode), text, "{mode:o}");
        }
    }

    #[test]
    fn owner_is_foreign_unless_root_or_the_daemon() {
        assert!(!is_foreign_owner(0, 0) && !is_foreign_owner(0, 1000));
        assert!(!is_foreign_owner(1000, 1000));
        assert!(is_foreign_owner(1000, 0) && is_foreign_owner(1001, 1000));
    }

    #[test]
    fn key_exposure_depends_on_mode_and_group() {
        use KeyExposure::{Everyone, Group, Private};
        for (mode, group, expected) in [
            (0o600, 0, Private),
            (0o400, 107, Private),
            (0o711, 107, Private),
            (0o640, 0, Private),
            (0o660, 0, Private),
            (0o640, 107, Group),
            (0o620, 107, Group),
            (0o604, 0, Everyone),
            (0o602, 107, Everyone),
            (0o644, 0, Everyone),
            (0o666, 107, Everyone),
            // The upper bits of `st_mode` are the type of the file.
            (0o100_600, 107, Private),
        ] {
            assert_eq!(key_exposure(mode, group), expected, "{mode:o} {group}");
        }
    }
}
