//! A worker's words: offer, the verdict about a push, done.

use super::client::whole;
use super::hear::Message;
use super::runs::{JobName, Run};
use super::text::Json;
use super::{Dialect, World};
use proletariat_protocol::limits::{RANGES_MAX, SLOTS_MAX};
use proletariat_protocol::{ErrorCode, HandBackReason, Offer, Payload, WorkResult};
use proletariat_scheduler::Event;

/// What is said of a result that is none.
const NO_RESULT: &str = "the worker reported the end of the job without a result";

/// How a run ended, as its worker told it.
struct Ended {
    result: WorkResult,
    payload: Payload,
    /// The whole of it, where that says more than the scheduler is told.
    whole: Option<Payload>,
}

impl Dialect {
    pub(super) fn hear_offer(&mut self, message: &Message<'_>, world: &mut impl World) {
        if self.offered {
            let text = "this worker has offered already: another offer needs another connection";
            return self.answer("offer").error("EINVCMDSTAT1", text).say();
        }
        let offer = message.given("slots").ok_or_else(|| "slots is missing".to_owned()).and_then(offer);
        let offer = offer.and_then(|offer| offer.check().map(|()| offer).map_err(|error| error.to_string()));
        match offer {
            Ok(offer) => {
                self.offered = true;
                world.tell(Event::Offered { worker: self.peer, offer });
            }
            Err(text) => self.refuse_offer(&text),
        }
    }

    pub(super) fn say_offer_accepted(&mut self) {
        let you = format!(r#""you":"{}","description":"the offer holds""#, self.peer);
        self.answer("offer").members(&you).say();
    }

    pub(super) fn refuse_offer(&mut self, text: &str) {
        self.offered = false;
        self.answer("offer").error(ErrorCode::InvalidSlots.as_str(), text).say();
    }

    /// What the worker takes of a push, and what it does not.
    pub(super) fn hear_verdict(&mut self, message: &Message<'_>, world: &mut impl World) {
        let names = |list: &str| {
            let ids = message.given(list).and_then(Json::elements).into_iter().flatten();
            ids.filter_map(|id| JobName::read(&id.string()?))
        };
        let worker = self.peer;
        for name in names("rejected") {
            if let Some(Run { assignment, .. }) = self.runs.end(name) {
                world.tell(Event::HandedBack { worker, assignment, reason: HandBackReason::Unfit });
            }
        }
        for name in names("accepted") {
            if let Some(Run { assignment, .. }) = self.runs.find(name) {
                world.tell(Event::Started { worker, assignment });
            }
        }
    }

    pub(super) fn hear_done(&mut self, message: &Message<'_>, world: &mut impl World) {
        if !self.offered {
            let text = "only a worker that has offered slots has work to report";
            return self.answer("done").error("EINVCMDSTAT2", text).say();
        }
        if !self.runs.had_work() {
            return self.answer("done").error("EINVSTAT1", "this worker has not had any work yet").say();
        }
        let Some(work) = message.given("work").and_then(Json::elements) else {
            let text = "work must be a list of ended jobs";
            return self.answer("done").error(ErrorCode::InvalidWorkList.as_str(), text).say();
        };
        for entry in work {
            self.hear_end(entry, world);
        }
        self.answer("done").members(r#""description":"thank you""#).say();
    }

    /// The end of one job. Of one that does not run here nothing more is to be heard.
    fn hear_end(&mut self, entry: Json<'_>, world: &mut impl World) {
        let (mut id, mut result) = (None, None);
        for (name, value) in entry.members() {
            match name.string().as_deref() {
                Some("id") => id = Some(value),
                Some("result") => result = Some(value),
                _ => {}
            }
        }
        let name = id.and_then(|id| id.string()).and_then(|id| JobName::read(&id));
        let Some(run) = name.and_then(|name| self.runs.end(name)) else { return };
        let Ended { result, payload, whole } = ended(result, run);
        if let Some(whole) = whole {
            world.failed(&payload, whole);
        }
        world.tell(Event::Finished {
            worker: self.peer,
            assignment: run.assignment,
            result,
            payload: payload.into(),
        });
    }
}

fn ended(result: Option<Json<'_>>, run: Run) -> Ended {
    let Some(result) = result.filter(|result| result.is_object()) else {
        let payload = Payload::from_static(NO_RESULT.as_bytes());
        return Ended { result: WorkResult::Failed, payload, whole: None };
    };
    let (mut error, mut data) = (None, "null");
    for (name, value) in result.members() {
        match name.string().as_deref() {
            Some("err") => error = Some(value).filter(|error| !error.is_null()),
            Some("data") => data = value.text(),
            _ => {}
        }
    }
    let Some(error) = error else {
        return Ended { result: WorkResult::Done, payload: copy(data), whole: None };
    };
    let (mut code, mut message) = (None, error.string());
    for (name, value) in error.members() {
        match name.string().as_deref() {
            Some("code") => code = value.string(),
            Some("message") => message = value.string(),
            _ => {}
        }
    }
    if run.limited && code.as_deref() == Some(ErrorCode::RunTimeout.as_str()) {
        return Ended { result: WorkResult::RunTimeout, payload: Payload::new(), whole: None };
    }
    let message = message.filter(|message| !message.is_empty());
    let payload = copy(message.as_deref().unwrap_or_else(|| error.text()));
    Ended { result: WorkResult::Failed, payload, whole: Some(copy(result.text())) }
}

fn copy(text: &str) -> Payload {
    Payload::copy_from_slice(text.as_bytes())
}

/// The offer that `slots` stands for: a number, or guarantees by lower bound with that of bound 0 among them.
fn offer(slots: Json<'_>) -> Result<Offer, String> {
    if !slots.is_object() {
        return count(slots)
            .map(Offer::new)
            .ok_or_else(|| "slots is a whole number, or an object of them".into());
    }
    let (mut lowest, mut sum, mut offer) = (None, 0_u64, Offer::new(0));
    for (bound, slots) in slots.members() {
        let bound = bound.string().filter(|bound| bound.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(bound) = bound.and_then(|bound| bound.parse::<u32>().ok()) else {
            return Err("the lower bound of a range is a whole number from 0 to 4294967295".into());
        };
        let Some(slots) = count(slots) else {
            return Err(format!("the slots of the range from {bound} are a whole number"));
        };
        sum += u64::from(slots);
        if bound > 0 {
            offer = offer.guarantee(bound, slots);
        } else if lowest.replace(slots).is_some() {
            return Err("bound 0 is named twice".into());
        }
        if offer.guarantees.len() >= RANGES_MAX {
            return Err(format!("more than {RANGES_MAX} priority ranges"));
        }
    }
    if lowest.is_none() {
        return Err("an offer by ranges names bound 0".into());
    }
    offer.slots = u32::try_from(sum).unwrap_or(u32::MAX);
    Ok(offer)
}

/// A number of slots. One over all limits stays over the limit of an offer.
fn count(value: Json<'_>) -> Option<u32> {
    let number = value.number().filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
    Some(whole(number).unwrap_or(SLOTS_MAX + 1))
}
