//! The manager's words as JSON text.

use super::requests::Abort;
use super::runs::{JobName, Run};
use super::shown::{TEXT_BYTES_MAX, sentence, shown, string};
use super::speech::{List, Speech};
use super::{Dialect, FRAME_BYTES_MAX};
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{AssignedExecution, JobOutcome, ManagerMessage};
use proletariat_protocol::{ErrorCode, JobId, Payload};
use std::fmt::Write;

/// An object that answers a command, in the making.
pub(super) struct Answer<'a> {
    speech: &'a mut Speech,
    text: String,
}

impl<'a> Answer<'a> {
    pub(super) fn new(speech: &'a mut Speech, to: &str) -> Self {
        Self { speech, text: format!(r#"{{"command":"answer","to":"{to}""#) }
    }

    /// A member whose value is JSON text already.
    pub(super) fn raw(mut self, name: &str, json: &str) -> Self {
        put(&mut self.text, format_args!(r#","{name}":{json}"#));
        self
    }

    /// Members that are JSON text already.
    pub(super) fn members(mut self, json: &str) -> Self {
        put(&mut self.text, format_args!(",{json}"));
        self
    }

    pub(super) fn error(self, code: &str, description: &str) -> Self {
        let error = error(code, description, None);
        self.members(&error)
    }

    pub(super) fn overload(self, description: &str, retry_after_ms: u32) -> Self {
        let error = error(ErrorCode::Overload.as_str(), description, Some(retry_after_ms));
        self.members(&error)
    }

    /// An error with the time after which trying again makes sense; 0: never.
    pub(super) fn refused(self, code: ErrorCode, description: &str, retry_after_ms: u32) -> Self {
        let error = error(code.as_str(), description, (retry_after_ms > 0).then_some(retry_after_ms));
        self.members(&error)
    }

    pub(super) fn say(mut self) {
        self.text.push('}');
        self.speech.say(&self.text);
    }
}

/// The member `error` of an object.
fn error(code: &str, description: &str, retry_after_ms: Option<u32>) -> String {
    let description = string(&description[..description.floor_char_boundary(TEXT_BYTES_MAX)]);
    match retry_after_ms {
        None => format!(r#""error":{{"code":"{code}","description":{description}}}"#),
        Some(millis) => {
            format!(r#""error":{{"code":"{code}","description":{description},"retryAfter":{millis}}}"#)
        }
    }
}

/// A bare error as the text of a message, with the time after which trying again makes sense; 0: none is told.
pub(in crate::manager) fn error_text(code: ErrorCode, description: &str, retry_after_ms: u32) -> String {
    format!("{{{}}}", error(code.as_str(), description, (retry_after_ms > 0).then_some(retry_after_ms)))
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes everything");
}

impl Dialect {
    /// A bare error, which may name what it is about.
    pub(super) fn complain(&mut self, code: &str, description: &str, about: Option<(&str, &str)>) {
        let description = string(description);
        let about = about.map_or(String::new(), |(name, json)| format!(r#","{name}":{json}"#));
        self.speech.say(&format!(r#"{{"error":{{"code":"{code}","description":{description}{about}}}}}"#));
    }

    /// A job for this worker; false if it fits into no frame.
    pub(in crate::manager) fn say_execution(
        &mut self,
        execution: &AssignedExecution<&str>,
        name: JobName,
        payload: &Payload,
    ) -> bool {
        let limited = execution.run_limit_ms > 0;
        let timeout =
            if limited { format!(r#""timeout":{},"#, execution.run_limit_ms) } else { String::new() };
        let head = format!(r#"{{"id":"{name}",{timeout}"args":"#);
        let said =
            shown(payload).is_some_and(|args| self.speech.put_entry(List::Push, &head, Some(&args), "}"));
        if said {
            self.runs.begin(name, Run { assignment: execution.assignment, limited });
        }
        said
    }

    /// The end of a job of this client. `whole`: what a JSON worker said of a run that failed.
    pub(in crate::manager) fn say_outcome(
        &mut self,
        outcome: &JobOutcome,
        payload: &Payload,
        whole: Option<&Payload>,
    ) {
        let job = outcome.job;
        if outcome.outcome == OutcomeKind::Error(ErrorCode::Aborted) {
            // Its own abort is answered by what that has ended.
            return self.requests.aborted(job);
        }
        if !self.requests.end(job) {
            return;
        }
        let name = JobName { client: self.peer, job };
        let said = match (outcome.outcome, whole) {
            (OutcomeKind::Result, _) => {
                let head = format!(r#"{{"id":"{name}","result":{{"err":null,"data":"#);
                let data = self.last_shown.value(payload);
                data.is_some_and(|data| self.speech.put_entry(List::Done, &head, Some(&data), "}}"))
            }
            (OutcomeKind::Error(_), Some(whole)) => {
                let head = format!(r#"{{"id":"{name}","result":"#);
                self.speech.put_entry(List::Done, &head, Some(whole), "}")
            }
            (OutcomeKind::Error(code), None) => {
                let message = self.last_shown.sentence(payload);
                self.say_failure(name, code, &message);
                true
            }
        };
        if !said {
            let text = format!("the result fits into no frame of {FRAME_BYTES_MAX} bytes");
            self.say_failure(name, ErrorCode::TooLarge, &sentence(text.as_bytes()));
        }
    }

    /// `message` is a JSON string. Of a clock the ancestor's programs are told what the ancestor says.
    fn say_failure(&mut self, name: JobName, code: ErrorCode, message: &Payload) {
        let message = match code {
            ErrorCode::AssignTimeout => Payload::from_static(br#""Assign timeout""#),
            ErrorCode::RunTimeout => Payload::from_static(br#""Timeout""#),
            _ => message.clone(),
        };
        let head = format!(r#"{{"id":"{name}","result":{{"err":{{"code":"{code}","message":"#);
        self.speech.put_entry(List::Done, &head, Some(&message), r#"},"data":null}}"#);
    }

    /// Any other word.
    pub(in crate::manager) fn say(&mut self, message: &ManagerMessage, payload: Option<&Payload>) {
        match message {
            ManagerMessage::Cancel { assignment } => {
                if let Some(name) = self.runs.cancel(*assignment) {
                    self.speech.put_entry(List::Abort, &format!("\"{name}\""), None, "");
                }
            }
            ManagerMessage::SystemMessage { id, from, .. } => {
                if let Some(content) = payload {
                    self.say_system_message(*id, *from, content);
                }
            }
            ManagerMessage::SystemReport { id, sent_to, received_by } => {
                self.say_system_report(*id, *sent_to, *received_by);
            }
            ManagerMessage::OfferAccepted => self.say_offer_accepted(),
            ManagerMessage::OfferRefused { message, .. } => self.refuse_offer(message),
            ManagerMessage::Refused { first, count, code, message, .. } => {
                self.say_refused(*first, *count, *code, message);
            }
            ManagerMessage::Ping => self.speech.say(r#"{"command":"ping"}"#),
            ManagerMessage::Leaving { code, message, retry_after_ms, .. } => {
                self.speech.say(&error_text(*code, message, *retry_after_ms));
            }
            // Said in another way, or nothing that this dialect has a word for.
            _ => {}
        }
    }

    /// Jobs that were accepted by the look before and refused then: their client has its answer, so each of them ends.
    fn say_refused(&mut self, first: JobId, count: u64, code: ErrorCode, message: &str) {
        let message = sentence(message.as_bytes());
        for offset in 0..count {
            let job = first.plus(offset);
            if self.requests.end(job) {
                self.say_failure(JobName { client: self.peer, job }, code, &message);
            }
        }
    }

    /// The answer to a question, in parts.
    pub(in crate::manager) fn say_text(&mut self, parts: &[Payload]) {
        if !self.speech.say_parts(parts) {
            let description = "the state fits into no frame: ask with `client status`";
            self.complain(ErrorCode::TooLarge.as_str(), description, None);
        }
    }

    /// Answers the aborts of this turn.
    pub(super) fn answer_aborts(&mut self) {
        for abort in self.requests.settle_aborts() {
            match abort {
                Abort::Request(rid) => self.say_aborted("rid", &rid),
                Abort::Jobs(jobs) => self.say_aborted("work", &names(self.peer, jobs.into_iter())),
                Abort::Answered => {}
            }
        }
    }

    /// Answers one abort. `what` was aborted, by its rid or by the ids of jobs.
    pub(super) fn say_aborted(&mut self, by: &str, what: &str) {
        self.answer("abort").members(r#""ok":true"#).raw(by, what).say();
    }
}

/// A list of names of jobs.
pub(super) fn names(client: proletariat_protocol::PeerId, jobs: impl Iterator<Item = JobId>) -> String {
    let mut text = String::from("[");
    for job in jobs {
        let comma = if text.len() > 1 { "," } else { "" };
        put(&mut text, format_args!(r#"{comma}"{}""#, JobName { client, job }));
    }
    text.push(']');
    text
}
