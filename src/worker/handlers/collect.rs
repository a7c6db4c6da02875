//! Copies of a program that stream lines over HTTP, one copy per job.

use super::last_words::{LastWords, until_late};
use crate::supervisor::guard::{Child, Guard, Output, Program};
use crate::worker::{Ending, Handler, Run};
use core::time::Duration;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proletariat_protocol::Payload;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// A copy that does not listen after this is replaced.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);
/// Between two attempts to reach a copy that has just begun.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// So many copies in a row without a sample end the job: the program or the path is wrong.
const FRUITLESS_MAX: u32 = 6;
/// The wait after a copy without a sample; then it doubles.
const FRUITLESS_PAUSE: Duration = Duration::from_millis(50);
/// The longest sample.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// So much of the end of a copy's standard error is told with its end.
const TAIL_BYTES: usize = 1_024;

/// What a job of this handler asks for, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CollectOrder {
    /// The number of the copy, for `{id}` in the program's words.
    pub id: u32,
    /// How many samples at most.
    pub n: u64,
    /// What is asked of the copy; `{n}` stands for the number of samples that are wanted.
    pub path: String,
}

/// Starts a copy of a program for each job (its words may hold `{id}` and `{port}`, a free one), reads
/// `http://127.0.0.1:PORT/PATH`, and sends each line as a partial result. A copy that crashes is replaced on a new port, and
/// what it gave counts. The job is done when it has given the samples that it asks for; mostly it is aborted before, and
/// then the copy is ended.
#[derive(Clone, Debug)]
pub struct Collect {
    guard: Guard,
    words: Vec<String>,
    kill_grace: Duration,
    client: Client<HttpConnector, Empty<Bytes>>,
    /// Ports that were given to copies that may not listen on them yet.
    ports: Arc<Mutex<BTreeSet<u16>>>,
}

/// How a copy ended.
enum End {
    /// All samples are there.
    Enough,
    /// It crashed, or gave nothing more.
    Replace(String),
    /// It makes no sense to go on.
    Over(Ending),
}

impl Collect {
    /// From the words of the program, its name first.
    ///
    /// # Panics
    /// Without words.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        assert!(!words.is_empty(), "a program has a name");
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { guard: Guard::new(), words, kill_grace: Duration::from_secs(2), client, ports: Arc::default() }
    }

    /// From TERM to KILL. Default: 2 s.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// One copy, from its start to its end. It is gone when this is ready.
    async fn copy(&self, run: &Run, order: &CollectOrder, left: &mut u64) -> End {
        let port = match Port::free(&self.ports) {
            Ok(port) => port,
            Err(error) => return End::Replace(format!("no free port: {error}")),
        };
        let word = |word: &String| {
            word.replace("{id}", &order.id.to_string()).replace("{port}", &port.number.to_string())
        };
        let mut words = self.words.iter().map(word);
        let program = Program::new(words.next().unwrap_or_default()).arguments(words);
        let program = program.kill_grace(self.kill_grace).without_input();
        // Not given up while it starts: what may run already has to be ended and waited for.
        let mut child = match self.guard.spawn(&program).await {
            Ok(child) => child,
            Err(error) => return End::Replace(error.to_string()),
        };
        let exited = CancellationToken::new();
        let complaints = tokio::spawn(tail(child.stdout.take(), child.stderr.take(), exited.clone()));
        let reading = async {
            let mut read = pin!(self.read(run, order, port.number, left, LastWords::new(&exited)));
            tokio::select! {
                biased;
                end = &mut read => return end,
                _ = ended(&mut child) => exited.cancel(),
            }
            // What it gave before is in the connection, or waits for the caller.
            read.await
        };
        let end = run.unless_cancelled(reading).await;
        let end = end.unwrap_or_else(|cancelled| End::Over(Ending::Failed(cancelled.to_string())));
        child.terminate();
        let status = ended(&mut child).await;
        exited.cancel();
        let said = complaints.await.unwrap_or_default();
        match end {
            End::Replace(reason) if said.is_empty() => End::Replace(format!("{reason}; {status}")),
            End::Replace(reason) => End::Replace(format!("{reason}; {status}: {said}")),
            end => end,
        }
    }

    /// Asks the copy until it has given all, or gives nothing.
    async fn read(
        &self,
        run: &Run,
        order: &CollectOrder,
        port: u16,
        left: &mut u64,
        mut last_words: LastWords<'_>,
    ) -> End {
        while *left > 0 {
            if last_words.has_ended() {
                return End::Replace(String::from("it has given all it had"));
            }
            let path = order.path.replace("{n}", &left.to_string());
            let uri: Uri = match format!("http://127.0.0.1:{port}{path}").parse() {
                Ok(uri) => uri,
                Err(error) => return End::Over(Ending::Failed(format!("path {path}: {error}"))),
            };
            let response = match self.reach(&uri, &mut last_words).await {
                Ok(response) => response,
                Err(reason) => return End::Replace(reason),
            };
            if !response.status().is_success() {
                let reason = format!("GET {path}: {}", response.status());
                return End::Over(Ending::Failed(reason));
            }
            let before = *left;
            if let Err(end) = samples(run, response.into_body(), left, &mut last_words).await {
                return end;
            }
            if *left == before {
                return End::Replace(format!("GET {path}: an answer without samples"));
            }
        }
        End::Enough
    }

    /// The answer of a copy that may have just begun.
    async fn reach(&self, uri: &Uri, last_words: &mut LastWords<'_>) -> Result<Response<Incoming>, String> {
        let limit = Instant::now() + LISTEN_LIMIT;
        loop {
            match last_words.wait(self.client.get(uri.clone())).await {
                Some(Ok(response)) => return Ok(response),
                Some(Err(error)) if error.is_connect() && last_words.has_ended() => {
                    return Err(String::from("nobody listens on its port"));
                }
                Some(Err(error)) if error.is_connect() && Instant::now() < limit => {
                    sleep(CONNECT_PAUSE).await;
                }
                Some(Err(error)) => return Err(format!("GET {uri}: {error}")),
                None => return Err(format!("GET {uri}: no answer before its end")),
            }
        }
    }
}

impl Handler for Collect {
    async fn run(&self, run: Run) -> Ending {
        let order: CollectOrder = match serde_json::from_slice(run.payload()) {
            Ok(order) => order,
            Err(error) => return Ending::Failed(format!("the job is none of client collect: {error}")),
        };
        if !order.path.starts_with('/') {
            return Ending::Failed(format!("the path {:?} does not begin with /", order.path));
        }
        let (mut left, mut fruitless, mut pause) = (order.n, 0, FRUITLESS_PAUSE);
        loop {
            let before = left;
            let reason = match self.copy(&run, &order, &mut left).await {
                End::Enough => return Ending::Done(Payload::new()),
                End::Over(ending) => return ending,
                End::Replace(reason) => reason,
            };
            tracing::debug!("copy {} is replaced: {reason}", order.id);
            if left < before {
                (fruitless, pause) = (0, FRUITLESS_PAUSE);
                continue;
            }
            fruitless += 1;
            if fruitless == FRUITLESS_MAX {
                let name = &self.words[0];
                return Ending::Failed(format!("{name}: {FRUITLESS_MAX} copies without a sample: {reason}"));
            }
            if run.unless_cancelled(sleep(pause)).await.is_err() {
                return Ending::Failed(String::from("cancelled"));
            }
            pause *= 2;
        }
    }
}

/// A port that was free a moment ago and is given to nobody else of this handler.
struct Port {
    number: u16,
    ports: Arc<Mutex<BTreeSet<u16>>>,
}

impl Port {
    fn free(ports: &Arc<Mutex<BTreeSet<u16>>>) -> std::io::Result<Self> {
        loop {
            let number = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            if ports.lock().unwrap_or_else(PoisonError::into_inner).insert(number) {
                return Ok(Self { number, ports: Arc::clone(ports) });
            }
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Sends the lines of an answer, at most so many as are left.
async fn samples(
    run: &Run,
    mut body: Incoming,
    left: &mut u64,
    last_words: &mut LastWords<'_>,
) -> Result<(), End> {
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let Some(frame) = last_words.wait(body.frame()).await else {
            return Err(End::Replace(String::from("its answer does not go on")));
        };
        let Some(frame) = frame else { break };
        // The line that a crash cuts in two is none.
        let frame = frame.map_err(|error| End::Replace(format!("its answer breaks off ({error})")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        begun.extend_from_slice(&chunk);
        while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = begun.drain(..=end).collect();
            sample(run, &line, left).await?;
        }
        if begun.len() > LINE_BYTES_MAX {
            let reason = format!("a sample of more than {LINE_BYTES_MAX} bytes");
            return Err(End::Over(Ending::Failed(reason)));
        }
    }
    sample(run, &begun, left).await
}

async fn sample(run: &Run, line: &[u8], left: &mut u64) -> Result<(), End> {
    let line = line.trim_ascii();
    if line.is_empty() || *left == 0 {
        return Ok(());
    }
    *left -= 1;
    let sent = run.send([line, b"\n"].concat()).await;
    sent.map_err(|cancelled| End::Over(Ending::Failed(cancelled.to_string())))
}

/// How a child ended, for people.
async fn ended(child: &mut Child) -> String {
    match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Takes what a copy writes, so that it never waits for a reader; the end of what it complained, soon after its end.
async fn tail(stdout: Option<Output>, stderr: Option<Output>, exited: CancellationToken) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let silent = async {
        let mut buffer = vec![0; 4_096];
        if let Some(mut stdout) = stdout {
            while let Ok(1..) = stdout.read(&mut buffer).await {}
        }
    };
    let loud = async {
        let mut buffer = vec![0; 4_096];
        if let Some(mut stderr) = stderr {
            while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                kept.extend_from_slice(&buffer[..count]);
                kept.drain(..kept.len().saturating_sub(TAIL_BYTES));
            }
        }
    };
    until_late(&exited, async {
        tokio::join!(silent, loud);
    })
    .await;
    String::from_utf8_lossy(&kept).trim().to_owned()
}
