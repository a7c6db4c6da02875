//! What a caller may ask for: options of a call, and a job with options of its own.

use super::error::Error;
use super::machine::{Job, OwnOptions};
use proletariat_protocol::limits::{CLOCK_MILLIS_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX};
use proletariat_protocol::{JobOptions, Payload};
use std::time::Duration;

/// What holds for the jobs of one call. The default asks for nothing: priority 0, no kind, no key, no clocks.
///
/// A clock of zero is none; the largest is 30 days.
///
/// ```
/// use proletariat::client::WorkOptions;
/// use std::time::Duration;
///
/// let options = WorkOptions::default().priority(3).run_timeout(Duration::from_secs(10));
/// assert_eq!(options.priority, 3);
/// assert_eq!(options.timeout, Duration::ZERO);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkOptions {
    /// Larger is more urgent.
    pub priority: u32,
    /// The type of the jobs, 1 to 128 bytes; jobs without one are taken only by workers that offer any kind.
    pub kind: Option<String>,
    /// For similar work, at most 1 KiB: jobs with equal kind and key share one execution, if the manager holds similar
    /// work.
    pub key: Option<Vec<u8>>,
    /// Limits the whole call, connecting included: at its end jobs without an outcome end with `ECSTO`. In an open group
    /// it starts when the group is opened.
    pub timeout: Duration,
    /// Limits one run, from the start of the handler: `ETO`.
    pub run_timeout: Duration,
    /// Limits the wait for a worker: `EATO`.
    pub assign_timeout: Duration,
    /// So many lost workers end a job with `ECRASH`; 0: no limit; `None`: as the manager is set. With 1 a job runs at
    /// most once.
    pub max_attempts: Option<u16>,
    /// Fail at once (`ENOWORKER`, `EOVERLOAD`, `ESHUTDOWN`) instead of waiting for a worker or a manager.
    pub no_wait: bool,
}

impl WorkOptions {
    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// For workers that offer this kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// With this key of similar work.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this limit for the whole call.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With this limit for one run.
    #[must_use]
    pub fn run_timeout(mut self, timeout: Duration) -> Self {
        self.run_timeout = timeout;
        self
    }

    /// With this limit for the wait for a worker.
    #[must_use]
    pub fn assign_timeout(mut self, timeout: Duration) -> Self {
        self.assign_timeout = timeout;
        self
    }

    /// So many lost workers end a job.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Fail at once instead of waiting.
    #[must_use]
    pub fn no_wait(mut self) -> Self {
        self.no_wait = true;
        self
    }

    /// As the machine takes it.
    pub(super) fn checked(self, stream: bool) -> Result<JobOptions, Error> {
        check_kind(self.kind.as_deref())?;
        check_key(self.key.as_deref())?;
        Ok(JobOptions {
            priority: self.priority,
            kind: self.kind,
            key: self.key,
            timeout_ms: clock("timeout", self.timeout)?,
            assign_timeout_ms: clock("assign_timeout", self.assign_timeout)?,
            run_timeout_ms: clock("run_timeout", self.run_timeout)?,
            max_attempts: self.max_attempts,
            no_wait: self.no_wait,
            stream,
        })
    }
}

/// Milliseconds of a clock, rounded up: no clock may end early.
pub(super) fn clock(name: &'static str, clock: Duration) -> Result<u32, Error> {
    let millis = clock.as_nanos().div_ceil(1_000_000);
    match u32::try_from(millis) {
        Ok(millis) if millis <= CLOCK_MILLIS_MAX => Ok(millis),
        _ => Err(Error::InvalidOption(format!("{name} of {clock:?}: the longest clock is 30 days"))),
    }
}

fn check_kind(kind: Option<&str>) -> Result<(), Error> {
    match kind {
        Some(kind) if !(1..=NAME_BYTES_MAX).contains(&kind.len()) => Err(Error::InvalidOption(format!(
            "a kind of {} bytes: it needs 1 to {NAME_BYTES_MAX}",
            kind.len()
        ))),
        _ => Ok(()),
    }
}

fn check_key(key: Option<&[u8]>) -> Result<(), Error> {
    match key {
        Some(key) if key.len() > KEY_BYTES_MAX => Err(Error::InvalidOption(format!(
            "a key of {} bytes: the longest has {KEY_BYTES_MAX}",
            key.len()
        ))),
        _ => Ok(()),
    }
}

impl Job {
    /// A job with this payload and the options of its call.
    ///
    /// ```
    /// use proletariat::client::Job;
    /// let job = Job::new("6 7").kind("mult").priority(9);
    /// assert_eq!(&job.payload[..], b"6 7");
    /// ```
    #[must_use]
    pub fn new(payload: impl IntoPayload) -> Self {
        Self { payload: payload.into_payload(), own: None }
    }

    /// With a kind of its own.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.own().kind = Some(kind.into());
        self
    }

    /// With a key of its own.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.own().key = Some(key.into());
        self
    }

    /// With a priority of its own.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.own().priority = Some(priority);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let Some(own) = &self.own else { return Ok(()) };
        check_kind(own.kind.as_deref())?;
        check_key(own.key.as_deref())
    }

    fn own(&mut self) -> &mut OwnOptions {
        self.own.get_or_insert_default()
    }
}

/// What can be the payload of a job: bytes and text, by value or (copied) by reference.
pub trait IntoPayload {
    /// The payload.
    fn into_payload(self) -> Payload;
}

impl IntoPayload for Payload {
    fn into_payload(self) -> Payload {
        self
    }
}

impl IntoPayload for Vec<u8> {
    fn into_payload(self) -> Payload {
        self.into()
    }
}

impl IntoPayload for String {
    fn into_payload(self) -> Payload {
        self.into()
    }
}

impl IntoPayload for &str {
    fn into_payload(self) -> Payload {
        Payload::copy_from_slice(self.as_bytes())
    }
}

impl IntoPayload for &[u8] {
    fn into_payload(self) -> Payload {
        Payload::copy_from_slice(self)
    }
}

impl<P: IntoPayload> From<P> for Job {
    fn from(payload: P) -> Self {
        Self::new(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_rounded_up_and_bounded() {
        assert_eq!(clock("timeout", Duration::ZERO).unwrap(), 0);
        assert_eq!(clock("timeout", Duration::from_micros(1)).unwrap(), 1);
        let month = Duration::from_secs(30 * 24 * 3_600);
        assert_eq!(clock("timeout", month).unwrap(), CLOCK_MILLIS_MAX);
        let error = clock("timeout", month + Duration::from_millis(1)).unwrap_err();
        assert!(error.to_string().contains("30 days"), "{error}");
        assert!(clock("timeout", Duration::MAX).is_err());
    }

    #[test]
    fn names_have_bounds() {
        let with_kind = |length: usize| WorkOptions::default().kind("k".repeat(length)).checked(false);
        assert!(with_kind(0).is_err() && with_kind(1).is_ok());
        assert!(with_kind(NAME_BYTES_MAX).is_ok() && with_kind(NAME_BYTES_MAX + 1).is_err());
        assert!(WorkOptions::default().key(vec![0; KEY_BYTES_MAX]).checked(false).is_ok());
        assert!(WorkOptions::default().key(vec![0; KEY_BYTES_MAX + 1]).checked(false).is_err());
        assert!(Job::new("x").key(vec![0; KEY_BYTES_MAX + 1]).check().is_err());
        assert!(Job::new("x").key(vec![0; KEY_BYTES_MAX]).check().is_ok());
    }

    #[test]
    fn jobs_come_from_bytes_and_text() {
        let jobs: [Job; 5] = [
            "a".into(),
            String::from("a").into(),
            vec![b'a'].into(),
            b"a"[..].into(),
            Payload::from_static(b"a").into(),
        ];
        assert!(jobs.iter().all(|job| job == &jobs[0]));
    }
}
