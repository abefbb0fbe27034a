//! Groups by name.

use super::NetError;
use nix::unistd::Group;
use std::io;
use std::path::Path;

/// The number of a group, which is given by its name or by its number.
///
/// ```
/// assert_eq!(eventryd::net::group_id("root").unwrap(), 0);
/// assert_eq!(eventryd::net::group_id("12345").unwrap(), 12345);
/// ```
///
/// # Errors
///
/// [`NetError::UnknownGroup`] if there is none of that name, [`NetError::Io`] if that cannot be found out.
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
