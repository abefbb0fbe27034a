//! Search and reading of the configuration file.

use crate::config::{ConfigError, ConfigFile, ConfigFormat, MAX_FILE_SIZE};
use crate::whole_file::open_without_waiting;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Location of the configuration file.
#[derive(Clone, Debug)]
pub(super) enum ConfigLocation {
    /// File of the option `--config`, which must exist.
    File(PathBuf, ConfigFormat),
    /// Directory that is searched for [`DEFAULT_NAMES`] at each read. The file is optional.
    Directory(PathBuf),
}

/// Occasion of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOccasion {
    /// The file may be a pipe, and the read waits for its contents.
    Start,
    /// The file must be regular, so that the read does not wait (DM-1309).
    Reload,
}

/// Configuration file that was read.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    pub(super) file: ConfigFile,
    /// Set if the file has the same contents at a second read, unless it is changed. A pipe has not.
    pub(super) is_regular: bool,
}

/// Names of the default configuration file.
const DEFAULT_NAMES: [(&str, ConfigFormat); 2] = [
    ("eventryd.toml", ConfigFormat::Toml),
    ("eventryd.conf", ConfigFormat::Libvirt),
];

impl ConfigLocation {
    /// Reads the file. Returns `None` if an optional file does not exist.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the file cannot be read, or the directory has more than one.
    pub(super) fn read(&self, occasion: ReadOccasion) -> Result<Option<FoundFile>, ConfigError> {
        match self {
            ConfigLocation::File(path, format) => read(path, *format, occasion)
                .map(Some)
                .map_err(|error| read_error(path, &error, occasion)),
            ConfigLocation::Directory(directory) => {
                let mut found: Option<FoundFile> = None;
                for (name, format) in DEFAULT_NAMES {
                    let path = directory.join(name);
                    match read(&path, format, occasion) {
                        Ok(source) => {
                            if let Some(first) = &found {
                                return Err(ambiguous_error(&first.file.path, &path));
                            }
                            found = Some(source);
                        }
                        Err(error) if is_absent(&error) => {}
                        Err(error) => return Err(read_error(&path, &error, occasion)),
                    }
                }
                Ok(found)
            }
        }
    }
}

/// Returns the directory of the default configuration file: `/etc/eventry` for root, otherwise
/// `eventry` in `$XDG_CONFIG_HOME` or `~/.config`.
pub(super) fn config_directory(
    uid: u32,
    config_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> PathBuf {
    let user_directory = config_home
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(".config")));
    match user_directory {
        Some(directory) if uid != 0 => directory.join("eventry"),
        _ => PathBuf::from("/etc/eventry"),
    }
}

fn read(path: &Path, format: ConfigFormat, occasion: ReadOccasion) -> io::Result<FoundFile> {
    let file = match occasion {
        ReadOccasion::Start => File::open(path)?,
        ReadOccasion::Reload => open_without_waiting(path)?,
    };
    let is_regular = file.metadata()?.is_file();
    if occasion == ReadOccasion::Reload && !is_regular {
        return Err(io::Error::other(
            "it is not a regular file, and only a regular file is read a second time",
        ));
    }
    let mut text = Vec::new();
    // One byte more than the maximum, so that the parser rejects a file that is too long.
    let limit = MAX_FILE_SIZE as u64 + 1;
    file.take(limit).read_to_end(&mut text)?;
    let path = path.to_owned();
    let file = ConfigFile { path, format, text };
    Ok(FoundFile { file, is_regular })
}

fn is_absent(error: &io::Error) -> bool {
    // `ENOTDIR` means that a component of the path is not a directory.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn read_error(path: &Path, error: &io::Error, occasion: ReadOccasion) -> ConfigError {
    let remedy = remedy(error.kind(), occasion);
    ConfigError {
        location: path.display().to_string(),
        message: format!("cannot read the configuration: {error}; {remedy}"),
        excerpt: None,
    }
}

/// Returns what to do about a file that cannot be read. A reload cannot take another file.
const fn remedy(error: io::ErrorKind, occasion: ReadOccasion) -> &'static str {
    use io::ErrorKind::{NotFound, PermissionDenied};
    match (error, occasion) {
        (NotFound, ReadOccasion::Start) => "create it, or name another file with --config",
        (NotFound, ReadOccasion::Reload) => "restore it, and reload again",
        (PermissionDenied, ReadOccasion::Start) => {
            "make it readable for the daemon, or name another file with --config"
        }
        (PermissionDenied, ReadOccasion::Reload) => {
            "make it readable for the daemon, and reload again"
        }
        (_, ReadOccasion::Start) => "name another file with --config",
        (_, ReadOccasion::Reload) => "replace it, and reload again",
    }
}

fn ambiguous_error(first: &Path, second: &Path) -> ConfigError {
    ConfigError {
        location: first.display().to_string(),
        message: format!(
            "{} exists too; remove one of them, or name one with --config",
            second.display()
        ),
        excerpt: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_file_is_absent() {
        for (kind, expected) in [
            (io::ErrorKind::NotFound, true),
            (io::ErrorKind::NotADirectory, true),
            (io::ErrorKind::PermissionDenied, false),
            (io::ErrorKind::Other, false),
        ] {
            assert_eq!(is_absent(&kind.into()), expected, "{kind}");
        }
    }

    #[test]
    fn config_directory_depends_on_uid_and_environment() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            config_directory(0, path("/x"), path("/root")),
            Path::new("/etc/eventry")
        );
        assert_eq!(
            config_directory(7, path("/x"), path("/h")),
            Path::new("/x/eventry")
        );
        assert_eq!(
            config_directory(7, path("x"), path("/h")),
            Path::new("/h/.config/eventry")
        );
        assert_eq!(config_directory(7, None, None), Path::new("/etc/eventry"));
    }

    #[test]
    fn default_file_is_optional_but_must_be_unique() {
        let dir = tempfile::tempdir().unwrap();
        let file = ConfigLocation::Directory(dir.path().to_owned());
        assert!(file.read(ReadOccasion::Start).unwrap().is_none());
        std::fs::write(dir.path().join("eventryd.conf"), "max_clients = 1").unwrap();
        assert_eq!(
            file.read(ReadOccasion::Start).unwrap().unwrap().file.format,
            ConfigFormat::Libvirt
        );
        std::fs::write(dir.path().join("eventryd.toml"), "").unwrap();
        let error = file.read(ReadOccasion::Start).unwrap_err().to_string();
        assert!(error.contains("eventryd.conf exists too"), "{error}");
    }

    #[test]
    fn named_file_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let (missing, is_directory) = (
            "No such file or directory (os error 2)",
            "Is a directory (os error 21)",
        );
        for (path, occasion, expected) in [
            (
                dir.path().join("missing"),
                ReadOccasion::Start,
                format!("{missing}; create it, or name another file with --config"),
            ),
            (
                dir.path().to_owned(),
                ReadOccasion::Start,
                format!("{is_directory}; name another file with --config"),
            ),
            (
                dir.path().join("missing"),
                ReadOccasion::Reload,
                format!("{missing}; restore it, and reload again"),
            ),
        ] {
            let file = ConfigLocation::File(path, ConfigFormat::Toml);
            let message = file.read(occasion).unwrap_err().message;
            let expected = format!("cannot read the configuration: {expected}");
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn remedy_depends_on_the_cause_of_the_read_error() {
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(
            remedy(denied, ReadOccasion::Start),
            "make it readable for the daemon, or name another file with --config"
        );
        assert_eq!(
            remedy(denied, ReadOccasion::Reload),
            "make it readable for the daemon, and reload again"
        );
    }

    #[test]
    fn endless_file_is_rejected_at_the_size_limit() {
        let file = ConfigLocation::File("/dev/zero".into(), ConfigFormat::Libvirt);
        let source = file.read(ReadOccasion::Start).unwrap().unwrap();
        assert!(source.file.parse().1[0].message.contains("longer"));
    }
}
