//! Everything in one process: manager, children, and the lines. With `-p` helpers may join.

use super::{ExecOptions, flow, helper, report};
use crate::commands::client::waiting::{Progress, Watcher};
use crate::commands::client::{Interrupt, ManagerAt};
use crate::exit::{Exit, Failure};
use crate::talk::Forwarder;
use proletariat::Manager;
use proletariat::client::{Client, Recipient};
use proletariat::manager::Builder as ManagerBuilder;
use proletariat::protocol::handshake::Roles;
use proletariat::security::{ClientTls, Token, Tokens};
use proletariat::supervisor::lines::Statistics;
use proletariat::worker::Worker;
use proletariat::worker::handlers::{ExecError, Execution};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Helpers that have not said what they did by then say it no more.
const GOODBYE: Duration = Duration::from_secs(2);

/// How to get to our own manager.
struct Access {
    address: SocketAddr,
    token: Token,
    tls: Option<ClientTls>,
}

/// Children of ours.
struct Children {
    worker: Worker,
    execution: Execution,
    _talk: Forwarder,
}

fn failed(error: impl Display) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

pub(super) async fn run(
    options: &ExecOptions,
    at: &ManagerAt,
    is_host_given: bool,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let (manager, access) = serve(options, at, is_host_given)?;
    let children = match options.children() {
        0 => None,
        _ => Some(access.children(options).await?),
    };
    let client = access.client().await?;
    let progress = Arc::new(Progress::default());
    let watched = options
        .exec_port
        .map(|_| Watcher::new(client.clone(), Some(options.kind().to_owned()), Arc::clone(&progress)));
    let work = async {
        tokio::select! {
            counts = flow::run(options, &client, &progress) => counts,
            failure = cannot_work(children.as_ref()) => Err(failure),
        }
    };
    let result = interrupt.or(work).await;
    drop(watched);
    let is_done = matches!(result, Ok(Ok(_)));
    let mut statistics = if is_done { dismiss(options, &client).await } else { Statistics::default() };
    client.shutdown().await;
    if let Some(children) = children {
        statistics.crashes += children.execution.statistics().crashes;
        statistics.times.merge(&children.execution.statistics().times);
        children.end(is_done).await;
    }
    manager.stop();
    manager.ended().await;
    let counts = result??;
    report::print(counts, &statistics, begun.elapsed());
    Ok(if counts.failed == 0 { Exit::Done } else { Exit::Failed })
}

/// Our own manager. Without `-p` nobody else gets in.
fn serve(options: &ExecOptions, at: &ManagerAt, is_host_given: bool) -> Result<(Manager, Access), Failure> {
    let Some(port) = options.exec_port else {
        let token = Token::random();
        let manager = Manager::builder().port(0).tokens(only(&token)).start().map_err(failed)?;
        options.say(&format!("exec: {}", options.described()));
        let address = manager.local_addr();
        return Ok((manager, Access { address, token, tls: None }));
    };
    let is_open = at.token.is_some() || at.own_tls.is_some() || options.insecure;
    let host = match (is_host_given, is_open) {
        (true, _) => at.address.host.clone(),
        (false, true) => Ipv4Addr::UNSPECIFIED.to_string(),
        (false, false) => Ipv4Addr::LOCALHOST.to_string(),
    };
    let mut builder = Manager::builder().host(host).port(port).insecure(options.insecure);
    let token = at.token.as_deref().and_then(Token::parse);
    if let Some(token) = &token {
        builder = builder.tokens(only(token));
    }
    builder = with_tls(builder, at)?;
    let manager = builder.start().map_err(failed)?;
    let mut address = manager.local_addr();
    options.say(&format!("exec: {}; serves helpers at {address}", options.described()));
    if address.ip().is_loopback() {
        options.say(
            "exec: helpers of this host only; for others give --token-file, or --tls-cert, --tls-key and --tls-ca, \
             or --insecure",
        );
    }
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let token = token.unwrap_or_else(Token::random);
    Ok((manager, Access { address, token, tls: at.tls.clone() }))
}

fn with_tls(builder: ManagerBuilder, at: &ManagerAt) -> Result<ManagerBuilder, Failure> {
    match (&at.own_tls, &at.tls) {
        (Some(own), Some(_)) => Ok(builder.tls(own.clone())),
        (Some(_), None) => {
            Err(Failure::usage("-p with TLS needs --tls-ca too: our own children connect as well"))
        }
        (None, _) => Ok(builder),
    }
}

/// One secret for all that take part.
fn only(token: &Token) -> Tokens {
    let mut tokens = Tokens::default();
    tokens.add(token.clone(), Roles { client: true, worker: true, ..Roles::default() });
    tokens
}

/// Ends only if nothing can be done here any more.
async fn cannot_work(children: Option<&Children>) -> Failure {
    let Some(Children { worker, execution, .. }) = children else { return std::future::pending().await };
    let ended = async {
        match worker.ended().await {
            Err(error) => failed(error),
            Ok(()) => std::future::pending().await,
        }
    };
    tokio::select! {
        minded = execution.mind(worker) => match minded {
            Err(error @ ExecError::Program(_)) => failed(error),
            // How the worker ended is told by the other half.
            _ => std::future::pending().await,
        },
        failure = ended => failure,
    }
}

impl Access {
    async fn client(&self) -> Result<Client, Failure> {
        let builder = Client::builder().host(self.address.to_string()).name("client exec");
        let mut builder = builder.token(self.token.reveal());
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        builder.connect().await.map_err(failed)
    }

    async fn children(&self, options: &ExecOptions) -> Result<Children, Failure> {
        options.make_room()?;
        let builder = Worker::builder().host(self.address.to_string()).token(self.token.reveal());
        let mut builder = builder.name("client exec").slots(options.children()).kinds([options.kind()]);
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        let (builder, execution, talker) = options.handler().install(builder);
        let talk = Forwarder::start(talker)?;
        let worker = builder.start().await.map_err(failed)?;
        Ok(Children { worker, execution, _talk: talk })
    }
}

impl Children {
    /// In order, or at once.
    async fn end(&self, in_order: bool) {
        self.worker.stop();
        if in_order {
            self.execution.finish().await;
        } else {
            self.execution.stop().await;
        }
    }
}

/// Tells all helpers that all is done; what they did, as far as they say so.
async fn dismiss(options: &ExecOptions, client: &Client) -> Statistics {
    let total = Arc::new(Mutex::new(Statistics::default()));
    if options.exec_port.is_none() {
        return Statistics::default();
    }
    let sum = Arc::clone(&total);
    let listening = client.on_system_message(move |message| {
        if let Some(statistics) = helper::what_was_done(&message.content) {
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.crashes += statistics.crashes;
            sum.times.merge(&statistics.times);
        }
        std::future::ready(())
    });
    if listening.is_ok() {
        // Whoever does not answer has his own reasons.
        let _ = client.system_message(helper::ALL_IS_DONE, Recipient::All, GOODBYE).await;
    }
    let total = total.lock().unwrap_or_else(PoisonError::into_inner);
    total.clone()
}
