//! Jobs come in.

use crate::action::{Action, Notice};
use crate::config::Config;
use crate::machine::{Counts, Scheduler};
use crate::received::Payloads;
use crate::records::{Execution, Job, NO_WAIT, Place};
use crate::tables::{ExecutionKey, KindKey, NO_KIND, PeerKey, Taken};
use crate::waiting::LineKey;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hint::cold_path;
use core::num::NonZeroU64;
use core::time::Duration;
use proletariat_protocol::hint::unlikely;
use proletariat_protocol::limits::CLOCK_MILLIS_MAX;
use proletariat_protocol::{ErrorCode, JobId, JobOptions, Time};

/// When a client that met a bound may try again: long enough for a queue to move, short enough not to be felt.
pub(crate) const OVERLOAD_RETRY: Duration = Duration::from_millis(250);
/// When a client may try again after a manager that is stopping.
pub(crate) const SHUTDOWN_RETRY: Duration = Duration::from_secs(1);

/// Why jobs are not accepted.
struct Refusal {
    code: ErrorCode,
    message: String,
    retry_after: Duration,
}

impl Scheduler {
    pub(crate) fn submitted(
        &mut self,
        now: Time,
        client: PeerKey,
        first: JobId,
        options: &JobOptions,
        payloads: Payloads<'_>,
    ) {
        let count = payloads.len() as u64;
        match self.peers[client].numbering.take(first.0, count) {
            Some(Taken::Next) => {}
            Some(Taken::Missing) => self.burst.aborts.leave_out(client, first.0, first.plus(count).0),
            None => {
                cold_path();
                let message =
                    format!("{count} jobs from {first} on: a number is used once, and there are few gaps");
                return self.expel(now, client, ErrorCode::Protocol, message);
            }
        }
        if let Err(refusal) = self.check(now, client, options, &payloads) {
            cold_path();
            let Refusal { code, message, retry_after } = refusal;
            let client = self.peers[client].id;
            return self.actions.push(Action::Refuse { client, first, count, code, message, retry_after });
        }
        if unlikely(self.config.notices) {
            let client = self.peers[client].id;
            self.notice(|| Notice::Receive { client, first, count });
        }
        let kind = options.kind.as_deref().map_or(NO_KIND, |kind| self.kinds.acquire(kind));
        match options.key.as_deref().filter(|_| self.config.hold_similar_work) {
            Some(key) => self.submit_keyed(now, client, first, kind, key, options, &payloads),
            None => self.submit_own(now, client, first, kind, options, &payloads),
        }
        self.set_waiting_alarms(now, client, first, count, options);
        self.kinds.release(kind);
        if !core::mem::replace(&mut self.peers[client].accept_due, true) {
            self.burst.accepts.push(client);
        }
    }

    /// A frame is accepted or refused whole.
    fn check(
        &self,
        now: Time,
        client: PeerKey,
        options: &JobOptions,
        payloads: &Payloads<'_>,
    ) -> Result<(), Refusal> {
        let clocks = [options.timeout_ms, options.assign_timeout_ms, options.run_timeout_ms];
        if unlikely(clocks.iter().any(|clock| *clock > CLOCK_MILLIS_MAX)) {
            let message = String::from("a clock is longer than 30 days");
            return Err(Refusal { code: ErrorCode::Protocol, message, retry_after: Duration::ZERO });
        }
        if let Some(bytes) = payloads.lengths().find(|bytes| *bytes > self.config.payload_bytes_max) {
            cold_path();
            let message =
                format!("a payload of {bytes} bytes: max_payload is {}", self.config.payload_bytes_max);
            return Err(Refusal { code: ErrorCode::TooLarge, message, retry_after: Duration::ZERO });
        }
        let retry_after = |wait| if options.no_wait { Duration::ZERO } else { wait };
        if unlikely(self.draining) {
            let message = String::from(ErrorCode::Shutdown.advice());
            return Err(Refusal {
                code: ErrorCode::Shutdown,
                message,
                retry_after: retry_after(SHUTDOWN_RETRY),
            });
        }
        let key = options.key.as_ref().filter(|_| self.config.hold_similar_work).map_or(0, Vec::len);
        let beside = options.kind.as_ref().map_or(0, String::len) + key;
        let bytes = payloads.bytes() as u64 + (payloads.len() * beside) as u64;
        match self.reached_bound(now, client, payloads.len() as u64, bytes) {
            Some((message, wait)) => {
                cold_path();
                Err(Refusal { code: ErrorCode::Overload, message, retry_after: retry_after(wait) })
            }
            None => Ok(()),
        }
    }

    /// Which bound so many more jobs of so many bytes would pass, and when to try again. The bytes are those of payloads,
    /// kinds and shared keys.
    pub(crate) fn reached_bound(
        &self,
        now: Time,
        client: PeerKey,
        count: u64,
        bytes: u64,
    ) -> Option<(String, Duration)> {
        let aborts_max = self.config.aborts_per_second_max;
        if let Some(wait) = self.peers[client].churn.wait(now, aborts_max) {
            cold_path();
            return Some((format!("max_aborts_per_second ({aborts_max}) is reached"), wait));
        }
        self.reached_room(client, count, bytes).map(|message| (message, OVERLOAD_RETRY))
    }

    fn reached_room(&self, client: PeerKey, count: u64, bytes: u64) -> Option<String> {
        let over =
            |held: u64, more: u64, bound: u64| unlikely((bound > 0) & (held.saturating_add(more) > bound));
        let Config { queued_jobs_max, queued_jobs_per_client_max, queued_bytes_max, .. } = self.config;
        let Config { open_jobs_max, open_bytes_max, .. } = self.config;
        if over(self.counts.queued_jobs, count, queued_jobs_max) {
            Some(format!("max_queued_jobs ({queued_jobs_max}) is reached"))
        } else if over(self.peers[client].queued, count, queued_jobs_per_client_max) {
            Some(format!("max_queued_jobs_per_client ({queued_jobs_per_client_max}) is reached"))
        } else if over(self.counts.queued_bytes, bytes, queued_bytes_max) {
            Some(format!("max_queued_bytes ({queued_bytes_max}) is reached"))
        } else if over(self.work.jobs() as u64, count, open_jobs_max) {
            Some(format!("max_open_jobs ({open_jobs_max}) is reached"))
        } else if over(self.payloads.bytes(), bytes, open_bytes_max) {
            Some(format!("max_open_bytes ({open_bytes_max}) is reached"))
        } else {
            None
        }
    }

    /// Jobs with an execution each: they go to the end of one line together.
    fn submit_own(
        &mut self,
        now: Time,
        client: PeerKey,
        first: JobId,
        kind: KindKey,
        options: &JobOptions,
        payloads: &Payloads<'_>,
    ) {
        let line = self.line(LineKey { owner: client, kind, priority: options.priority });
        let losses_max = options.max_attempts.unwrap_or(self.config.max_attempts);
        let Self { work, payloads: store, lines, peers, counts, burst, .. } = self;
        let peer = &mut peers[client];
        let (jobs, mut number) = (payloads.len() as u64, first.0);
        let begin = counts.sequence + 1;
        lines.extend(line, |entries| {
            for payload in payloads.iter() {
                counts.tickets = counts.tickets.wrapping_add(1);
                let job = new_job(now, client, number, counts, options);
                let sequence = job.sequence();
                let stored = store.store(payload, payloads);
                let mut execution = Execution::new(stored, kind, options, losses_max, false);
                execution.set_place(Place::Queued);
                execution.ticket = counts.tickets;
                let key = work.insert(job, execution);
                peer.jobs.insert(number, key);
                entries.push_back((ExecutionKey(key.0), counts.tickets));
                if options.no_wait {
                    burst.no_wait.push((key, sequence));
                }
                number += 1;
            }
        });
        peer.queued += jobs;
        counts.queued_jobs += jobs;
        let kind_bytes = self.kinds.name(kind).map_or(0, |name| name.len());
        self.counts.queued_bytes += payloads.bytes() as u64 + jobs * kind_bytes as u64;
        self.kinds.retain_often(kind, jobs);
        // The line was empty, or nothing of it is dispatched.
        if jobs > 0 && self.lines.line(line).head.is_none() {
            self.set_head(line, Some(begin));
        }
    }

    /// Jobs that may share an execution.
    fn submit_keyed(
        &mut self,
        now: Time,
        client: PeerKey,
        first: JobId,
        kind: KindKey,
        key: &[u8],
        options: &JobOptions,
        payloads: &Payloads<'_>,
    ) {
        for (number, payload) in (first.0..).zip(payloads.iter()) {
            let row = new_job(now, client, number, &mut self.counts, options);
            let sequence = row.sequence();
            let job = self.work.insert_job(row);
            self.peers[client].jobs.insert(number, job);
            let payload = self.payloads.store(payload, payloads);
            self.submit_similar(now, job, kind, options, key, payload);
            if options.no_wait {
                self.burst.no_wait.push((job, sequence));
            }
        }
    }

    /// Tells clients that their jobs were accepted, if some still wait.
    pub(crate) fn accept(&mut self) {
        let mut accepts = core::mem::take(&mut self.burst.accepts);
        for key in accepts.drain(..) {
            let Some(peer) = self.peers.get(key).filter(|peer| !peer.gone) else {
                continue;
            };
            if let Some(through) = peer.numbering.through().filter(|_| peer.queued > 0) {
                let client = peer.id;
                self.actions.push(Action::Accept { client, through: JobId(through) });
            }
            self.peers[key].accept_due = false;
        }
        self.burst.accepts = accepts;
    }
}

fn new_job(now: Time, client: PeerKey, number: u64, counts: &mut Counts, options: &JobOptions) -> Job {
    counts.sequence += 1;
    Job {
        client,
        number,
        arrival: NonZeroU64::new(counts.sequence).expect("counted from 1"),
        arrived: now,
        timeout_ms: options.timeout_ms,
        assign_timeout_ms: if options.no_wait { NO_WAIT } else { options.assign_timeout_ms },
        run_timeout_ms: options.run_timeout_ms,
    }
}
