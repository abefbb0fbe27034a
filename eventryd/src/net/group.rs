//! Lookup of groups.

use super::NetError;
use nix::unistd::Group;
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
        None => name
            .parse()
            .map_err(|_| NetError::UnknownGroup(name.to_owned())),
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
