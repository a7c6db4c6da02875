//! An HTTP service as the worker: one POST per job.

mod target;

pub use target::{HttpTarget, HttpTargetError};

use crate::worker::{Ending, HandBackReason, Handler, Run};
use core::error::Error as _;
use core::time::Duration;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::IgnoredAny;

/// The longest wait for a connection to the service. A service that does not take one is as good as busy.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A connection that was not used for so long is closed: servers do the same, and then a request would meet its end.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// So much of an answer that is no result goes into the error.
const TOLD_BYTES_MAX: u64 = 1_024;

/// Lends an HTTP service to the broker: a job's payload is the body of a POST, the body of the answer is its result.
///
/// | the service | the job |
/// | --- | --- |
/// | 2xx | done |
/// | 403, 429, 503; takes no connection | handed back as busy: it goes elsewhere, and this worker pauses for its kind |
/// | 404, 405 | handed back as not my kind: the kind leaves the offer |
/// | 502, 504; the connection ends before the answer does | lost with its worker, which counts as an attempt: tried again |
/// | any other | failed (`EWORK`) with the status and the beginning of the answer; redirects are not followed |
///
/// A cancelled run closes its connection. Requests share idle connections.
#[derive(Clone, Debug)]
pub struct Http {
    target: HttpTarget,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// For the service at this target. Needs a tokio runtime when jobs come, not now.
    #[must_use]
    pub fn new(target: HttpTarget) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { target, client }
    }

    async fn answer(&self, request: Request<Full<Bytes>>, result_bytes_max: u64) -> Ending {
        let what = format!("POST {}", request.uri());
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return unanswered(&what, &error),
        };
        match (response.status(), meaning(response.status())) {
            (_, Meaning::Result) => result(&what, response, result_bytes_max).await,
            (status, Meaning::HandBack(reason)) => {
                if reason == HandBackReason::NotMyKind {
                    tracing::warn!("{what}: {status}; this kind is not offered any more");
                }
                // What was read to its end leaves a connection that can be used again.
                told(response).await;
                Ending::HandBack(reason)
            }
            (status, Meaning::Lost) => Ending::Crashed(format!("{what}: {status}{}", told(response).await)),
            (status, Meaning::Failed) => Ending::Failed(format!("{what}: {status}{}", told(response).await)),
        }
    }
}

impl Handler for Http {
    async fn run(&self, run: Run) -> Ending {
        let uri = match self.target.uri(run.kind()) {
            Ok(uri) => uri,
            Err(HttpTargetError::KindNeeded) => return Ending::HandBack(HandBackReason::NotMyKind),
            Err(error) => return Ending::Failed(error.to_string()),
        };
        // Most frameworks look at the body only if they are told what it is.
        let is_json = serde_json::from_slice::<IgnoredAny>(run.payload()).is_ok();
        let content = if is_json { "application/json" } else { "application/octet-stream" };
        let mut request = Request::new(Full::new(run.payload().clone()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static("proletariat-worker"));
        match run.unless_cancelled(self.answer(request, run.result_bytes_max())).await {
            Ok(ending) => ending,
            Err(cancelled) => Ending::Failed(cancelled.to_string()),
        }
    }
}

/// What a status says about the job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    Result,
    HandBack(HandBackReason),
    Lost,
    Failed,
}

fn meaning(status: StatusCode) -> Meaning {
    match status {
        status if status.is_success() => Meaning::Result,
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Meaning::HandBack(HandBackReason::Busy)
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Meaning::HandBack(HandBackReason::NotMyKind)
        }
        // A gateway that does not reach what stands behind it; whether the work was begun there, nobody knows.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Meaning::Lost,
        _ => Meaning::Failed,
    }
}

/// No answer. Without a connection nothing was begun; with one, nobody knows.
fn unanswered(what: &str, error: &Error) -> Ending {
    let reasons = reasons(error);
    if error.is_connect() {
        tracing::debug!("{what}: {reasons}; handed back");
        return Ending::HandBack(HandBackReason::Busy);
    }
    Ending::Crashed(format!("{what}: {reasons}"))
}

async fn result(what: &str, response: Response<Incoming>, bytes_max: u64) -> Ending {
    match read(response.into_body(), bytes_max).await {
        Ok(Content::Whole(result)) => Ending::Done(result),
        Ok(Content::Cut(_)) => Ending::TooLarge(format!("{what}: an answer of more than {bytes_max} bytes")),
        Err(error) => Ending::Crashed(format!("{what}: the answer breaks off: {error}")),
    }
}

/// The beginning of an answer that is no result, for people.
async fn told(response: Response<Incoming>) -> String {
    let text = match read(response.into_body(), TOLD_BYTES_MAX).await {
        Ok(Content::Whole(bytes) | Content::Cut(bytes)) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(_) => String::new(),
    };
    if text.is_empty() { text } else { format!(": {text}") }
}

/// What was read of a body.
enum Content {
    Whole(Bytes),
    /// More than was allowed; the beginning.
    Cut(Bytes),
}

/// Reads at most so many bytes. Memory grows with what comes, not with what was announced.
async fn read(mut body: Incoming, bytes_max: u64) -> Result<Content, hyper::Error> {
    let mut chunks: Vec<Bytes> = Vec::new();
    let mut bytes = 0_u64;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(chunk) = frame?.into_data() else { continue };
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            let room = usize::try_from(bytes_max).unwrap_or(usize::MAX);
            let mut start = chunks.concat();
            start.extend_from_slice(&chunk);
            start.truncate(room);
            return Ok(Content::Cut(start.into()));
        }
        chunks.push(chunk);
    }
    Ok(Content::Whole(if chunks.len() == 1 { chunks.remove(0) } else { chunks.concat().into() }))
}

/// The error and all that is behind it, in one sentence.
fn reasons(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_what_the_documents_say() {
        let meaning = |code: u16| meaning(StatusCode::from_u16(code).unwrap());
        for code in [200, 201, 204] {
            assert_eq!(meaning(code), Meaning::Result, "{code}");
        }
        for code in [403, 429, 503] {
            assert_eq!(meaning(code), Meaning::HandBack(HandBackReason::Busy), "{code}");
        }
        for code in [404, 405] {
            assert_eq!(meaning(code), Meaning::HandBack(HandBackReason::NotMyKind), "{code}");
        }
        for code in [502, 504] {
            assert_eq!(meaning(code), Meaning::Lost, "{code}");
        }
        for code in [301, 302, 400, 401, 413, 418, 500, 501] {
            assert_eq!(meaning(code), Meaning::Failed, "{code}");
        }
    }
}
