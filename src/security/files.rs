//! Files that hold secrets: read only where nobody else can read them, written so that nobody else ever could.

use super::error::SecurityError;
use super::tokens::Token;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file of secrets is read up to here, in bytes: room for thousands of tokens.
const SECRET_BYTES_MAX: u64 = 1 << 20;

fn failed(path: &Path) -> impl Fn(io::Error) -> SecurityError {
    let path = path.to_owned();
    move |source| SecurityError::File { path: path.clone(), source }
}

/// The text of a file that only its owner can get at. The open file is asked for its mode, not its name, so that it cannot
/// be another one by then.
pub(super) fn read_secret(path: &Path) -> Result<String, SecurityError> {
    let file = File::open(path).map_err(failed(path))?;
    let meta = file.metadata().map_err(failed(path))?;
    let mode = meta.permissions().mode() & 0o7777;
    if meta.is_file() && mode & 0o077 != 0 {
        return Err(SecurityError::Mode { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(failed(path))?;
    Ok(text)
}

/// Writes a new file with mode 0600; one that is there already stays as it is.
///
/// # Errors
/// [`SecurityError::File`].
pub fn write_secret(path: &Path, text: &str) -> Result<(), SecurityError> {
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = open.map_err(failed(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed(path))
}

/// Makes a folder that only its owner can get at, unless it is there.
///
/// # Errors
/// [`SecurityError::File`].
pub fn make_folder(folder: &Path) -> Result<(), SecurityError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))
}

/// Makes a token for each role, in `folder`: `tokens` for the manager, and `client.token`, `worker.token` and `admin.token`
/// for those who connect; all with mode 0600. Tells what was written.
///
/// # Errors
/// [`SecurityError::File`], also when one of them is there already; none has been written over then.
pub fn write_token_files(folder: &Path) -> Result<Vec<PathBuf>, SecurityError> {
    make_folder(folder)?;
    let table = folder.join("tokens");
    if fs::symlink_metadata(&table).is_ok() {
        return Err(failed(&table)(io::ErrorKind::AlreadyExists.into()));
    }
    let mut text = String::from("# role token; the manager reads this file again on SIGHUP\n");
    let mut written = Vec::new();
    for role in ["client", "worker", "admin"] {
        let token = Token::random();
        let path = folder.join(format!("{role}.token"));
        write_secret(&path, &format!("{}\n", token.reveal()))?;
        text.push_str(&format!("{role} {}\n", token.reveal()));
        written.push(path);
    }
    write_secret(&table, &text)?;
    written.insert(0, table);
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::Tokens;
    use super::*;

    #[test]
    fn made_files_are_private_fit_together_and_are_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("secrets");
        let written = write_token_files(&folder).unwrap();
        assert_eq!(written.len(), 4);
        for path in &written {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600, "{path:?}");
        }
        let tokens = Tokens::read(&written[0]).unwrap();
        for (path, client, worker, admin) in [
            (&written[1], true, false, false),
            (&written[2], false, true, false),
            (&written[3], true, false, true),
        ] {
            let token = Token::read(path).unwrap();
            let roles = tokens.find(token.reveal().as_bytes()).unwrap().roles;
            assert_eq!((roles.client, roles.worker, roles.admin), (client, worker, admin), "{path:?}");
        }
        let error = write_token_files(&folder).expect_err("there already");
        assert!(matches!(error, SecurityError::File { .. }), "{error}");
        assert!(Tokens::read(&written[0]).unwrap() == tokens);
    }

    #[test]
    fn a_secret_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        write_secret(&path, "x").unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Token::read(&path).expect_err("others can");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }
}
