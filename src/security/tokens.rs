//! Tokens: 256 random bits that say which roles a peer may have, and whose its keys are.
//!
//! The manager's file has a line for each, `role token`, several for one role if need be (to tell clients from each other, or
//! to change one without a break); whoever connects has a file with the token alone.

use super::error::SecurityError;
use super::files::read_secret;
use proletariat_protocol::handshake::Roles;
use std::fmt;
use std::path::Path;
use subtle::{Choice, ConstantTimeEq};

/// Bytes of a token, and digits of its text.
const TOKEN_BYTES: usize = 32;
const TOKEN_DIGITS: usize = 2 * TOKEN_BYTES;

/// A secret of 256 bits. Its text is 64 digits, 0 to 9 and a to f; these are what goes over the wire.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let bytes: [u8; TOKEN_BYTES] = rand::random();
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// From its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (digits && text.len() == TOKEN_DIGITS).then(|| Self(text.to_owned()))
    }

    /// From a file of a peer: one line with the token.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn read(path: &Path) -> Result<Self, SecurityError> {
        let text = read_secret(path)?;
        Self::parse(text.trim()).ok_or_else(|| SecurityError::Content {
            path: path.to_owned(),
            line: 1,
            reason: format!("a token and nothing else is expected: {TOKEN_DIGITS} digits, 0-9 and a-f"),
        })
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn is(&self, other: &[u8]) -> Choice {
        self.0.as_bytes().ct_eq(other)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes()).into()
    }
}

/// What a token allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The roles that a peer with it may have. Who may be an administrator may be a client, too.
    pub roles: Roles,
    /// Whose the keys and instances of its peers are. It stays the same as long as the token is known; 0 is that of
    /// peers without tokens.
    pub realm: u32,
}

/// The tokens that a manager knows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tokens {
    known: Vec<(Token, Grant)>,
    realms: u32,
}

impl Tokens {
    /// Reads them from the manager's file.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn read(path: &Path) -> Result<Self, SecurityError> {
        let text = read_secret(path)?;
        let wrong = |line, reason| SecurityError::Content { path: path.to_owned(), line, reason };
        let mut tokens = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            tokens.add_line(line).map_err(|reason| wrong(at + 1, reason))?;
        }
        if tokens.known.is_empty() {
            return Err(wrong(1, "it has no token, so nobody could come in".into()));
        }
        Ok(tokens)
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let (role, token) = line.split_once(char::is_whitespace).ok_or("expected: role token")?;
        let roles = match role {
            "client" => Roles { client: true, ..Roles::default() },
            "worker" => Roles { worker: true, ..Roles::default() },
            "admin" => Roles { client: true, admin: true, ..Roles::default() },
            // The line may be a token that slipped: it is not shown.
            _ => return Err("the role is none of client, worker, admin".into()),
        };
        let token = Token::parse(token.trim())
            .ok_or_else(|| format!("a token has {TOKEN_DIGITS} digits, 0-9 and a-f"))?;
        self.add(token, roles);
        Ok(())
    }

    /// Adds one. A token that is known gets these roles as well.
    pub fn add(&mut self, token: Token, roles: Roles) {
        if let Some((_, grant)) = self.known.iter_mut().find(|(known, _)| *known == token) {
            let Roles { client, worker, admin } = &mut grant.roles;
            (*client, *worker, *admin) =
                (*client | roles.client, *worker | roles.worker, *admin | roles.admin);
            return;
        }
        self.realms += 1;
        self.known.push((token, Grant { roles, realm: self.realms }));
    }

    /// What a token allows; `None`: it is not known. Takes the same time for all tokens of the right length.
    #[must_use]
    pub fn find(&self, token: &[u8]) -> Option<Grant> {
        let mut found = None;
        for (known, grant) in &self.known {
            if bool::from(known.is(token)) {
                found = Some(*grant);
            }
        }
        found
    }

    /// What a token of this realm allows; `None`: there is none any more.
    #[must_use]
    pub fn of_realm(&self, realm: u32) -> Option<Roles> {
        self.known.iter().find(|(_, grant)| grant.realm == realm).map(|(_, grant)| grant.roles)
    }

    /// These take the place of `old` ones: a token that both know keeps its realm, and no realm is used again.
    #[must_use]
    pub fn following(mut self, old: &Self) -> Self {
        let mut realms = old.realms;
        for (token, grant) in &mut self.known {
            grant.realm = old.find(token.reveal().as_bytes()).map_or_else(
                || {
                    realms += 1;
                    realms
                },
                |grant| grant.realm,
            );
        }
        self.realms = realms;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::write_secret;
    use super::*;

    const CLIENT: Roles = Roles { client: true, worker: false, admin: false };
    const WORKER: Roles = Roles { client: false, worker: true, admin: false };

    #[test]
    fn tokens_are_random_and_never_shown() {
        let (one, other) = (Token::random(), Token::random());
        assert!(one != other && one.reveal().len() == 64);
        assert_eq!(format!("{one:?}"), "Token(secret)");
        assert!(Token::parse(one.reveal()).unwrap() == one);
        for wrong in [String::new(), "x".repeat(64), "0".repeat(63), "0".repeat(65), "A".repeat(64)] {
            assert!(Token::parse(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_finds_its_grant_and_no_part_of_it_does() {
        let mut tokens = Tokens::default();
        let (one, other) = (Token::random(), Token::random());
        tokens.add(one.clone(), CLIENT);
        tokens.add(other.clone(), WORKER);
        assert_eq!(tokens.find(one.reveal().as_bytes()), Some(Grant { roles: CLIENT, realm: 1 }));
        assert_eq!(tokens.find(other.reveal().as_bytes()), Some(Grant { roles: WORKER, realm: 2 }));
        assert_eq!(tokens.find(&one.reveal().as_bytes()[..63]), None);
        assert_eq!(tokens.find(b""), None);
        tokens.add(one.clone(), WORKER);
        let both = tokens.find(one.reveal().as_bytes()).unwrap();
        assert!(both.roles.client && both.roles.worker && both.realm == 1);
    }

    #[test]
    fn a_realm_outlives_a_change_of_the_others_and_is_never_given_twice() {
        let (kept, gone, new) = (Token::random(), Token::random(), Token::random());
        let mut old = Tokens::default();
        old.add(gone.clone(), CLIENT);
        old.add(kept.clone(), CLIENT);
        let mut next = Tokens::default();
        next.add(new.clone(), CLIENT);
        next.add(kept.clone(), WORKER);
        let next = next.following(&old);
        assert_eq!(next.find(kept.reveal().as_bytes()), Some(Grant { roles: WORKER, realm: 2 }));
        assert_eq!(next.find(new.reveal().as_bytes()).unwrap().realm, 3);
        assert_eq!((next.of_realm(1), next.of_realm(2)), (None, Some(WORKER)));
        let mut back = Tokens::default();
        back.add(gone, CLIENT);
        assert_eq!(back.following(&next).known[0].1.realm, 4);
    }

    #[test]
    fn faults_of_a_file_name_the_line_and_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let secret = Token::random();
        let texts = [
            (format!("# x\n{}\n", secret.reveal()), 2, "expected: role token"),
            (format!("\n\nowner {}\n", secret.reveal()), 3, "none of client, worker, admin"),
            (format!("client {}0\n", secret.reveal()), 1, "64 digits"),
            ("# nobody\n".into(), 1, "nobody could come in"),
        ];
        for (at, (text, line, reason)) in texts.into_iter().enumerate() {
            let path = folder.path().join(at.to_string());
            write_secret(&path, &text).unwrap();
            let error = Tokens::read(&path).expect_err(reason).to_string();
            assert!(error.contains(reason) && error.contains(&format!(":{line}: ")), "{error}");
            assert!(!error.contains(secret.reveal()), "{error}");
        }
    }
}
