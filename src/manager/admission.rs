//! Who may come in with which token, and what becomes of those who are in when the tokens change.

use super::driver::Driver;
use crate::security::{Grant, Tokens};
use proletariat_protocol::handshake::{Hello, Refusal, Roles};
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{ErrorCode, Time};
use std::time::Duration;

/// What everybody may who comes to a manager without tokens.
pub(super) const EVERYTHING: Grant =
    Grant { roles: Roles { client: true, worker: true, admin: true }, realm: 0 };
/// Whose token is no longer known may take what still waits for it for so long.
const LEAVING_TIME: Duration = Duration::from_secs(1);
/// It may come back with another one: the file of a fleet is seldom changed everywhere in one moment.
const RETRY_AFTER_MS: u32 = 1_000;

impl Driver {
    /// What a peer may do, or why it stays out.
    pub(super) fn grant(&self, hello: &Hello) -> Result<Grant, Refusal> {
        match &self.config.tokens {
            Some(tokens) => check(tokens, hello),
            None => Ok(EVERYTHING),
        }
    }

    /// From now on these tokens count. Sessions that they do not allow are ended.
    pub(super) fn change_tokens(&mut self, tokens: Tokens, now: Time) {
        let tokens = match &self.config.tokens {
            Some(old) => tokens.following(old),
            None => tokens,
        };
        let mut ended = 0;
        for place in self.connections.all() {
            let Some(session) = self.connections.at(place) else { continue };
            session.may_speak_json = false;
            let Some(speaker) = session.speaker else { continue };
            match tokens.of_realm(session.grant.realm) {
                Some(roles) if covers(roles, speaker.roles) && session.json.is_none() => {
                    session.grant.roles = roles;
                }
                _ => {
                    let word = ManagerMessage::Leaving {
                        code: ErrorCode::Unauthorized,
                        message: "the tokens have changed, and this peer's is not among them".into(),
                        retry: true,
                        retry_after_ms: RETRY_AFTER_MS,
                    };
                    self.see_off(place, &word, LEAVING_TIME, now);
                    ended += 1;
                }
            }
        }
        tracing::info!(sessions_ended = ended, "the tokens have been read again");
        self.config.tokens = Some(tokens);
        self.no_more_json();
    }
}

/// What a peer is told that does not speak TLS to a manager that does.
pub(super) fn asks_for_tls() -> Refusal {
    Refusal {
        code: ErrorCode::Unauthorized,
        message: "this manager speaks TLS only (--tls-ca)".into(),
        retry: false,
        retry_after_ms: 0,
    }
}

fn check(tokens: &Tokens, hello: &Hello) -> Result<Grant, Refusal> {
    let refused = |message: String| {
        Err(Refusal { code: ErrorCode::Unauthorized, message, retry: false, retry_after_ms: 0 })
    };
    let Some(token) = &hello.token else {
        return refused("this manager asks for a token, and none was sent (--token-file)".into());
    };
    match tokens.find(token) {
        None => refused("the token is not known to this manager".into()),
        Some(grant) if covers(grant.roles, hello.roles) => Ok(grant),
        Some(grant) => {
            let (for_roles, wanted) = (names(grant.roles), names(hello.roles));
            refused(format!("the token is for the role {for_roles}, and the peer wants to be {wanted}"))
        }
    }
}

fn covers(granted: Roles, wanted: Roles) -> bool {
    (granted.client || !wanted.client)
        && (granted.worker || !wanted.worker)
        && (granted.admin || !wanted.admin)
}

fn names(roles: Roles) -> String {
    super::status::role_names(roles).join(" and ")
}
