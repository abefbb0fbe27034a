//! Lookup of groups.

use super::NetError;
use nix::unistd::Group;
use rustix::process::{getegid, getgroups};
use rustix::thread::{CapabilitySet, capabilities};
use std::io;
use std::path::Path;

/// Returns the id of a group, given by name or by number.
///
/// ```
/// assert_eq!(eventryd::net::group_id("root").unwrap(), 0);
/// assert_eq!(eventryd::net::group_id("12345").unwrap(), 12345);
/// ```
///
/// # Errors
///
/// [`NetError::UnknownGroup`] if the group does not exist, [`NetError::Io`] if the lookup fails.
pub fn group_id(name: &str) -> Result<u32, NetError> {
    let found = Group::from_name(name).map_err(io::Error::from);
    let found = found.map_err(NetError::io("look up the group", Path::new(name)))?;
    match found {
        Some(group) => Ok(group.gid.as_raw()),
        // The largest number is the argument of `chown` that leaves the group unchanged.
        None => match name.parse() {
            Ok(u32::MAX) | Err(_) => Err(NetError::UnknownGroup(name.to_owned())),
            Ok(group) => Ok(group),
        },
    }
}

/// Checks that this process may give a file to the group `name` with the id `group`: it is a member
/// or has the capability `CAP_CHOWN`.
///
/// # Errors
///
/// [`NetError::NotInGroup`] if it may not, [`NetError::Io`] if the lookup fails.
pub fn check_group(name: &str, group: u32) -> Result<(), NetError> {
    let failed = |error| NetError::io("look up the groups for", Path::new(name))(error);
    let may_chown = capabilities(None)
        .map_err(failed)?
        .effective
        .contains(CapabilitySet::CHOWN);
    let others = getgroups().map_err(failed)?;
    let others: Vec<u32> = others.iter().map(|member| member.as_raw()).collect();
    if may_give(group, may_chown, getegid().as_raw(), &others) {
        Ok(())
    } else {
        Err(NetError::NotInGroup(name.to_owned()))
    }
}

/// Returns `true` if a process may give a file to a group: by `CAP_CHOWN`, or as a member by its effective group or
/// one of its other groups.
fn may_give(group: u32, may_chown: bool, effective: u32, others: &[u32]) -> bool {
    may_chown || effective == group || others.contains(&group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_cap_chown_may_give_a_file_to_a_group() {
        assert!(may_give(5, true, 1, &[2, 3]));
        assert!(may_give(5, false, 5, &[2, 3]));
        assert!(may_give(5, false, 1, &[2, 5]));
        assert!(!may_give(5, false, 1, &[2, 3]));
    }

    #[test]
    fn group_id_of_unknown_group_names_it() {
        let error = group_id("no such group").unwrap_err().to_string();
        assert!(error.contains("\"no such group\""), "{error}");
    }
}
