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
    let is_member = getegid().as_raw() == group
        || getgroups()
            .map_err(failed)?
            .iter()
            .any(|member| member.as_raw() == group);
    if may_chown || is_member {
        Ok(())
    } else {
        Err(NetError::NotInGroup(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_id_of_unknown_group_names_it() {
        let error = group_id("no such group").unwrap_err().to_string();
        assert!(error.contains("\"no such group\""), "{error}");
    }
}
