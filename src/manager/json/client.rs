//! A client's words: push and abort.

use super::hear::Message;
use super::runs::JobName;
use super::say::names;
use super::text::{Elements, Json};
use super::{Dialect, FRAME_BYTES_MAX, JOBS_PER_PUSH_MAX, NAME_BYTES_MAX, World};
use proletariat_protocol::limits::{self, CLOCK_MILLIS_MAX, KEY_BYTES_MAX};
use proletariat_protocol::{ErrorCode, JobId, JobOptions, Payload};
use proletariat_scheduler::Event;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::time::Duration;

/// Room for what stands around a list of names in an answer.
const AROUND_BYTES: usize = 128 + NAME_BYTES_MAX;

/// A fault of a push, for its sender.
type Fault = (ErrorCode, String);

impl Dialect {
    pub(super) fn hear_push(&mut self, message: &Message<'_>, world: &mut impl World) {
        let Some(rid) = message.given("rid").filter(|rid| rid_name(*rid).is_some()) else {
            let text = "a push needs a rid: a text, or a number that is not 0";
            return self.answer("push").error(ErrorCode::NoRequestId.as_str(), text).say();
        };
        if rid.text().len() > NAME_BYTES_MAX {
            let text = format!("a rid of {} bytes: at most {NAME_BYTES_MAX}", rid.text().len());
            return self.answer("push").error(ErrorCode::Protocol.as_str(), &text).say();
        }
        // What is unanswered stays with its client, which sends it again when a manager is there.
        if world.is_draining() {
            return;
        }
        if let Err((code, text)) = self.push(rid, message, world) {
            self.answer("push").raw("rid", rid.text()).error(code.as_str(), &text).say();
        }
    }

    fn push(&mut self, rid: Json<'_>, message: &Message<'_>, world: &mut impl World) -> Result<(), Fault> {
        let list = message.given("work").and_then(Json::elements);
        let Some(work) = list.filter(|list| list.clone().next().is_some()) else {
            return Err((ErrorCode::InvalidWorkList, "work must be a list of at least one job".into()));
        };
        let name = rid_name(rid).unwrap_or_default();
        let count = work.count();
        let fingerprint = fingerprint(work);
        if let Some(sent) = self.requests.let_go(&name) {
            self.say_aborted("rid", &sent);
        }
        if let Some((first, known, of)) = self.requests.find(&name) {
            if known != count as u64 || of != fingerprint {
                let text = format!("this rid has an unfinished request of {known} jobs, with other work");
                return Err((ErrorCode::DuplicateId, text));
            }
            self.say_ids(rid, first, known);
            return Ok(());
        }
        let options = options(message)?;
        self.check_count(count)?;
        let bytes = self.weigh(work)? + self.requests.rid_bytes_with(&name);
        if let Some(refused) = world.refusal(self.peer, count as u64, bytes) {
            let millis = u32::try_from(refused.retry_after.as_millis()).unwrap_or(u32::MAX);
            let answer = self.answer("push").raw("rid", rid.text());
            answer.refused(refused.code, &refused.message, millis).say();
            return Ok(());
        }
        let first = self.requests.add(&name, count as u64, fingerprint);
        self.say_ids(rid, first, count as u64);
        self.submit(work, first, options, world);
        Ok(())
    }

    fn say_ids(&mut self, rid: Json<'_>, first: JobId, count: u64) {
        let ids = names(self.peer, (0..count).map(|offset| first.plus(offset)));
        self.answer("push").raw("rid", rid.text()).raw("work", &ids).say();
    }

    /// The answer names each job, and has to fit into one frame.
    fn check_count(&self, count: usize) -> Result<(), Fault> {
        let last = JobName { client: self.peer, job: self.requests.next().plus(count as u64) };
        let name_bytes = last.to_string().len() + 3;
        let most = JOBS_PER_PUSH_MAX.min((FRAME_BYTES_MAX - AROUND_BYTES) / name_bytes);
        if count <= most {
            return Ok(());
        }
        Err((ErrorCode::TooLarge, format!("a push of {count} jobs: at most {most} are taken at once")))
    }

    /// What these jobs count for while they wait, or what is wrong with one of them. Nothing is kept of them before it is known that
    /// they are taken.
    fn weigh(&self, work: Elements<'_>) -> Result<u64, Fault> {
        let mut bytes = 0;
        for value in work {
            let text = value.text();
            if text.len() as u64 > self.rules.payload_bytes_max {
                let most = self.rules.payload_bytes_max;
                return Err((
                    ErrorCode::TooLarge,
                    format!("a job of {} bytes: max_payload is {most}", text.len()),
                ));
            }
            let (kind, key) = self.kind_and_key(value)?;
            bytes += (text.len() + kind.map_or(0, |kind| kind.len()) + key.map_or(0, |key| key.len())) as u64;
        }
        Ok(bytes)
    }

    /// Tells of jobs that are taken. Those in a row for which the same holds go together, and they are told before the next ones are
    /// kept: of a million jobs each may be of another kind than the one before.
    fn submit(&self, work: Elements<'_>, mut first: JobId, mut options: JobOptions, world: &mut impl World) {
        let (client, mut payloads) = (self.peer, Vec::new());
        let mut tell = |options: &JobOptions, payloads: Vec<Payload>| {
            let jobs = payloads.len() as u64;
            let payloads = payloads.into_iter().collect();
            world.tell(Event::Submitted { client, first, options, payloads });
            first = first.plus(jobs);
        };
        for value in work {
            let (kind, key) = self.kind_and_key(value).expect("nothing is wrong with a job that was weighed");
            if !payloads.is_empty() && (options.kind != kind || options.key != key) {
                tell(&options, mem::take(&mut payloads));
            }
            (options.kind, options.key) = (kind, key);
            payloads.push(Payload::copy_from_slice(value.text().as_bytes()));
        }
        tell(&options, payloads);
    }

    /// What the keys `_kind` and `_key` of a job say.
    fn kind_and_key(&self, value: Json<'_>) -> Result<(Option<String>, Option<Vec<u8>>), Fault> {
        let (mut kind, mut key) = (None, None);
        for (name, value) in value.members() {
            match name.string().as_deref() {
                Some("_kind") => kind = Some(value),
                Some("_key") => key = Some(value),
                _ => {}
            }
        }
        let kind = kind.filter(|kind| !kind.is_null()).map(|kind| {
            let kind = kind.string().map(String::from).filter(|kind| !kind.is_empty());
            kind.filter(|kind| kind.len() <= limits::NAME_BYTES_MAX)
                .ok_or((ErrorCode::Protocol, "a _kind is a text of 1 to 128 bytes".to_owned()))
        });
        // Where nothing shares a run, a key is a part of the value like any other.
        let key = key.filter(|_| self.rules.hold_similar_work).and_then(key_bytes);
        if key.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return Err((ErrorCode::Protocol, format!("a _key has at most {KEY_BYTES_MAX} bytes")));
        }
        Ok((kind.transpose()?, key))
    }

    pub(super) fn hear_abort(&mut self, message: &Message<'_>, world: &mut impl World) {
        if let Some(rid) = message.given("rid").filter(|rid| rid_name(*rid).is_some()) {
            return self.abort_request(rid, world);
        }
        let Some(work) = message.given("work") else {
            let text = "an abort needs a rid, or a list of ids in work";
            return self.answer("abort").error("EABINVINP", text).say();
        };
        let Some(work) = work.elements() else {
            return self.answer("abort").error("EINVWLI", "work must be a list of ids").say();
        };
        let client = self.peer;
        let own = |id: Json<'_>| {
            let name = id.string().and_then(|id| JobName::read(&id))?;
            (name.client == client).then_some(name.job)
        };
        // The answer repeats ids that came in one frame, and has to fit into one: it has more around them by some bytes.
        let mut room = FRAME_BYTES_MAX - AROUND_BYTES;
        let named = work.filter_map(own).take_while(|job| {
            let bytes = JobName { client, job: *job }.to_string().len() + 3;
            room = room.saturating_sub(bytes);
            room > 0
        });
        let mut run: Option<(JobId, u64)> = None;
        let mut tell = |run: Option<(JobId, u64)>| {
            if let Some((first, count)) = run {
                world.tell(Event::Aborted { client, first, count });
            }
        };
        for job in self.requests.abort_jobs(named) {
            match &mut run {
                Some((first, count)) if first.plus(*count) == job => *count += 1,
                _ => tell(run.replace((job, 1))),
            }
        }
        tell(run);
    }

    fn abort_request(&mut self, rid: Json<'_>, world: &mut impl World) {
        let name = rid_name(rid).unwrap_or_default();
        match self.requests.abort_request(&name, rid.text()) {
            Some((first, count)) => world.tell(Event::Aborted { client: self.peer, first, count }),
            None => {
                let text = "no unfinished request of this client has this rid";
                let short = rid.text().len() <= NAME_BYTES_MAX;
                let rid = if short { rid.text() } else { "null" };
                self.answer("abort").raw("rid", rid).error("EABRNOFO", text).say();
            }
        }
    }
}

/// What tells a rid from others; `None` if it is none. A number never equals a text.
fn rid_name(rid: Json<'_>) -> Option<String> {
    if let Some(number) = rid.number() {
        return (number != 0.0).then(|| format!("n{}", rid.text()));
    }
    match rid.string() {
        Some(text) => (!text.is_empty()).then(|| format!("s{text}")),
        None => rid.text().starts_with('"').then(|| format!("r{}", rid.text())),
    }
}

/// Tells lists of work apart: a request that is sent again is the same text again.
fn fingerprint(work: Elements<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    work.for_each(|value| value.text().hash(&mut hasher));
    hasher.finish()
}

/// The key of a job: a text is its bytes, so that native clients can give the same one; what says nothing is none.
fn key_bytes(key: Json<'_>) -> Option<Vec<u8>> {
    match key.string() {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => Some(key.text().as_bytes().to_vec()),
    }
    .filter(|bytes| !bytes.is_empty() && !key.is_null())
}

/// What holds for all jobs of a push.
fn options(message: &Message<'_>) -> Result<JobOptions, Fault> {
    let priority = match message.given("priority") {
        None => 0,
        Some(value) => value
            .numeric()
            .filter(|number| number.fract() == 0.0)
            .and_then(whole)
            .ok_or((ErrorCode::Protocol, "a priority is a whole number from 0 to 4294967295".to_owned()))?,
    };
    Ok(JobOptions {
        priority,
        run_timeout_ms: clock(message, "timeout")?,
        assign_timeout_ms: clock(message, "assigntimeout")?,
        ..JobOptions::default()
    })
}

/// Milliseconds; a fraction of one counts as a whole one. 0: none.
fn clock(message: &Message<'_>, name: &str) -> Result<u32, Fault> {
    let Some(value) = message.given(name) else { return Ok(0) };
    value.numeric().map(f64::ceil).and_then(whole).filter(|millis| *millis <= CLOCK_MILLIS_MAX).ok_or_else(
        || {
            let most = Duration::from_millis(CLOCK_MILLIS_MAX.into()).as_millis();
            (ErrorCode::Protocol, format!("{name} is a number of milliseconds from 0 to {most} (30 days)"))
        },
    )
}

/// A number without fraction that fits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is looked at")]
pub(super) fn whole(number: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}
