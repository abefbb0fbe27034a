//! Finding and reading the configuration file.

use crate::config::{Fault, Format, MAX_SIZE, Source};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The configuration file of this daemon: which one, and whether it must be there.
#[derive(Clone, Debug)]
pub(super) enum ConfigFile {
    /// It was named.
    Named(PathBuf, Format),
    /// It is looked for in this directory, each time it is read.
    In(PathBuf),
}

/// The names that are looked for.
const NAMES: [(&str, Format); 2] = [
    ("eventryd.toml", Format::Toml),
    ("eventryd.conf", Format::Libvirt),
];

impl ConfigFile {
    /// Reads it, if it is there or must be.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub(super) fn read(&self) -> Result<Option<Source>, Fault> {
        match self {
            ConfigFile::Named(path, format) => read(path, *format)
                .map(Some)
                .map_err(|error| unreadable(path, &error)),
            ConfigFile::In(directory) => {
                let mut found: Option<Source> = None;
                for (name, format) in NAMES {
                    let path = directory.join(name);
                    match read(&path, format) {
                        Ok(source) => {
                            if let Some(other) = &found {
                                return Err(two(&other.path, &path));
                            }
                            found = Some(source);
                        }
                        Err(error) if is_absent(&error) => {}
                        Err(error) => return Err(unreadable(&path, &error)),
                    }
                }
                Ok(found)
            }
        }
    }
}

/// Where the configuration of a user is looked for: `/etc/eventry` for root, else below
/// `$XDG_CONFIG_HOME`, which is `~/.config` by default.
pub(super) fn default_directory(
    uid: u32,
    config_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> PathBuf {
    let of_user = config_home
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(".config")));
    match of_user {
        Some(directory) if uid != 0 => directory.join("eventry"),
        _ => PathBuf::from("/etc/eventry"),
    }
}

fn read(path: &Path, format: Format) -> io::Result<Source> {
    let mut text = Vec::new();
    // One byte more than there may be, so that a file that is too long is told from one that just fits.
    let most = MAX_SIZE as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut text)?;
    let path = path.to_owned();
    Ok(Source { path, format, text })
}

fn is_absent(error: &io::Error) -> bool {
    // Also if something on the way is no directory.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault {
        place: path.display().to_string(),
        message: format!("cannot read the configuration: {error}"),
        excerpt: None,
    }
}

fn two(one: &Path, other: &Path) -> Fault {
    Fault {
        place: one.display().to_string(),
        message: format!(
            "there is {} too; move one of them away, or name one with --config",
            other.display()
        ),
        excerpt: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_users_have_a_place_for_their_configuration() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            default_directory(0, path("/x"), path("/root")),
            Path::new("/etc/eventry")
        );
        assert_eq!(
            default_directory(7, path("/x"), path("/h")),
            Path::new("/x/eventry")
        );
        assert_eq!(
            default_directory(7, path("x"), path("/h")),
            Path::new("/h/.config/eventry")
        );
        assert_eq!(default_directory(7, None, None), Path::new("/etc/eventry"));
    }

    #[test]
    fn default_file_is_optional_but_must_be_unique() {
        let dir = tempfile::tempdir().unwrap();
        let file = ConfigFile::In(dir.path().to_owned());
        assert!(file.read().unwrap().is_none());
        std::fs::write(dir.path().join("eventryd.conf"), "max_clients = 1").unwrap();
        assert_eq!(file.read().unwrap().unwrap().format, Format::Libvirt);
        std::fs::write(dir.path().join("eventryd.toml"), "").unwrap();
        let fault = file.read().unwrap_err().to_string();
        assert!(fault.contains("eventryd.conf too"), "{fault}");
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("missing"), dir.path().to_owned()] {
            let fault = ConfigFile::Named(path, Format::Toml)
                .read()
                .unwrap_err()
                .to_string();
            assert!(fault.contains("cannot read the configuration"), "{fault}");
        }
    }

    #[test]
    fn a_file_without_end_is_read_to_the_limit_and_refused() {
        let file = ConfigFile::Named("/dev/zero".into(), Format::Libvirt);
        let source = file.read().unwrap().unwrap();
        assert!(source.settings().1[0].message.contains("longer"));
    }
}
