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
    /// Writes the port under another name and renames it into place, so that nobody ever reads half of it.
    ///
    /// # Errors
    /// Those of the file system; nothing is left behind then.
    pub fn write(path: &Path, port: u16) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let content = format!("{port}\n");
        let written = fs::write(&temporary, &content).and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(Self { path: path.to_owned(), content })
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
}
