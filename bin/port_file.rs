//! The file that tells others which port was taken.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file with a port in it, removed when this is dropped.
#[derive(Debug)]
pub struct PortFile {
    path: PathBuf,
    content: String,
}

impl PortFile {
    /// Writes the port and puts the file into its place when it is whole, so that nobody ever reads half of it. Until then
    /// it has no name, so that a manager that is killed on the way leaves nothing behind; where the file system
    /// knows no files without a name, it is written under another one and renamed.
    ///
    /// # Errors
    /// Those of the file system; nothing is left behind then.
    pub fn write(path: &Path, port: u16) -> io::Result<Self> {
        let content = format!("{port}\n");
        match unnamed::write(path, &content) {
            Err(error) if unnamed::is_unknown(&error) => write_and_rename(path, &content)?,
            written => written?,
        }
        Ok(Self { path: path.to_owned(), content })
    }
}

fn write_and_rename(path: &Path, content: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Files that have no name until they are whole.
#[cfg(target_os = "linux")]
mod unnamed {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    use rustix::io::Errno;
    use std::fs::{self, File};
    use std::io::{self, Write};
    use std::os::fd::AsRawFd;
    use std::path::Path;

    /// A name that is taken is freed and tried again so often: others may do the same.
    const TRIES: usize = 16;

    pub(super) fn write(path: &Path, content: &str) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = create(folder.unwrap_or(Path::new(".")), content)?;
        // A link never takes the place of a file, so one that an earlier manager left goes first. Whoever reads in between
        // finds none, as before a start.
        for _ in 0..TRIES {
            match name(&file, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
                done => return done,
            }
        }
        name(&file, path)
    }

    pub(super) fn create(folder: &Path, content: &str) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        let mut file = File::from(open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode)?);
        file.write_all(content.as_bytes())?;
        Ok(file)
    }

    pub(super) fn name(file: &File, path: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        if fs::symlink_metadata(&own).is_err() {
            return Err(Errno::OPNOTSUPP.into());
        }
        Ok(linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Whether the file system, or a system without `/proc`, cannot do it.
    pub(super) fn is_unknown(error: &io::Error) -> bool {
        let unknown = [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL, Errno::NOSYS, Errno::PERM];
        unknown.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    }
}

/// Other systems have none.
#[cfg(not(target_os = "linux"))]
mod unnamed {
    use std::io;
    use std::path::Path;

    pub(super) fn write(_: &Path, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_unknown(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Unsupported
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // A file that says something else is another manager's by now.
        if fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_is_there_and_then_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.port");
        let file = PortFile::write(&path, 1917).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1917\n");
        assert_eq!(names(folder.path()), ["manager.port"]);
        drop(file);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn anothers_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.port");
        let file = PortFile::write(&path, 1).unwrap();
        let other = PortFile::write(&path, 2).unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        drop(other);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_folder_in_its_place_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.port");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), "").unwrap();
        PortFile::write(&path, 1).expect_err("a folder is there");
        assert_eq!(names(folder.path()), ["manager.port"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_has_no_name_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.port");
        fs::write(&path, "an older one").unwrap();
        match unnamed::create(folder.path(), "7\n") {
            Ok(file) => {
                assert_eq!(names(folder.path()), ["manager.port"], "written, and only the older one is seen");
                unnamed::name(&file, &path).expect_err("a link replaces nothing");
                unnamed::write(&path, "7\n").unwrap();
            }
            Err(error) => {
                assert!(unnamed::is_unknown(&error), "{error}");
                write_and_rename(&path, "7\n").unwrap();
            }
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "7\n");
        assert_eq!(names(folder.path()), ["manager.port"]);
    }

    #[test]
    fn without_such_files_it_is_renamed_into_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.port");
        write_and_rename(&path, "1\n").unwrap();
        write_and_rename(&path, "2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        assert_eq!(names(folder.path()), ["manager.port"]);
    }
}
