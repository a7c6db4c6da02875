//! `client sysmsg`: what peers tell each other beside the jobs.

use super::{Interrupt, ManagerAt};
use crate::exit::{Exit, Failure};
use crate::options::value::duration;
use crate::output::{Format, value};
use crate::terminal::say;
use clap::Args;
use proletariat::client::{Client, LinkState, SystemMessage, SystemReport};
use proletariat_protocol::PeerId;
use proletariat_protocol::message::Recipient;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const EXAMPLES: &str = "\
Examples:
  client sysmsg '{\"do\":\"something\"}'        to the manager and everybody else
  client sysmsg hello --to MANAGER            to the manager alone
  client sysmsg hello --to 17                 to one peer; client status shows their numbers
  client sysmsg --listen --output jsonl       prints what arrives";

/// Options of `client sysmsg`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SysmsgOptions {
    /// What to tell
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    content: Option<OsString>,
    /// Who is told: ALL, MANAGER or the number of a peer
    #[arg(long, value_name = "WHO", default_value = "ALL")]
    to: To,
    /// Print what others tell, until interrupted
    #[arg(long)]
    listen: bool,
    /// Wait no longer for recipients to confirm
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Form of what is printed
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: Format,
}

/// Who gets a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    All,
    Manager,
    Peer(u64),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("all") => Ok(Self::All),
            _ if text.eq_ignore_ascii_case("manager") => Ok(Self::Manager),
            _ => text
                .parse()
                .map(Self::Peer)
                .map_err(|_| "expected ALL, MANAGER or the number of a peer".to_owned()),
        }
    }
}

impl From<To> for Recipient {
    fn from(to: To) -> Self {
        match to {
            To::All => Self::All,
            To::Manager => Self::Manager,
            To::Peer(id) => Self::Peer(PeerId(id)),
        }
    }
}

pub(super) async fn run(
    options: SysmsgOptions,
    manager: &ManagerAt,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let called = Instant::now();
    let timeout = options.timeout.unwrap_or_default();
    let client = interrupt.or(manager.connect("client sysmsg", timeout)).await??;
    let Some(content) = options.content else {
        return interrupt.or(listen(&client, options.output)).await?;
    };
    // At least a millisecond is left, because zero would be no limit.
    let rest = if timeout.is_zero() {
        timeout
    } else {
        timeout.saturating_sub(called.elapsed()).max(Duration::from_millis(1))
    };
    let sending = client.system_message(content.into_vec(), options.to.into(), rest);
    let report = interrupt.or(sending).await?.map_err(|error| manager.failure(&error))?;
    show_report(report, options.output)?;
    client.shutdown().await;
    let timed_out = !timeout.is_zero() && called.elapsed() >= timeout && report.received_by < report.sent_to;
    Ok(if timed_out { Exit::TimedOut } else { Exit::Done })
}

fn show_report(report: SystemReport, format: Format) -> io::Result<()> {
    let SystemReport { sent_to, received_by } = report;
    let mut out = io::stdout().lock();
    match format {
        Format::Human => writeln!(out, "sentTo {sent_to}, receivedBy {received_by}")?,
        Format::Json | Format::Jsonl => {
            writeln!(out, r#"{{"sentTo":{sent_to},"receivedBy":{received_by}}}"#)?;
        }
        Format::Quiet => {}
    }
    out.flush()
}

/// Prints what arrives. Each is confirmed when it has been printed.
async fn listen(client: &Client, format: Format) -> Result<Exit, Failure> {
    let (sender, mut incoming) = mpsc::channel::<(SystemMessage, oneshot::Sender<()>)>(1);
    let listening = client.on_system_message(move |message| {
        let sender = sender.clone();
        async move {
            let (printed, done) = oneshot::channel();
            if sender.send((message, printed)).await.is_ok() {
                // An error says that the command is ending.
                let _ = done.await;
            }
        }
    });
    listening.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    tell_own_id(&client.link_state());
    loop {
        tokio::select! {
            message = incoming.recv() => {
                let Some((message, printed)) = message else { break };
                show_message(&message, format)?;
                let _ = printed.send(());
            }
            state = client.link_changed() => match state {
                Some(LinkState::Over { error }) => return Err(Failure::new(Exit::Failed, error.to_string())),
                Some(state) => tell_own_id(&state),
                None => break,
            },
        }
    }
    Err(Failure::new(Exit::Failed, "the connection has ended"))
}

fn tell_own_id(state: &LinkState) {
    if let LinkState::Up { peer, .. } = state {
        say(&format!("listening as peer {peer}"));
    }
}

fn show_message(message: &SystemMessage, format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Human => {
            write!(out, "from {}: ", message.from)?;
            out.write_all(&message.content)?;
            if message.content.last() != Some(&b'\n') {
                out.write_all(b"\n")?;
            }
        }
        Format::Json | Format::Jsonl => {
            writeln!(out, r#"{{"from":{},"content":{}}}"#, message.from, value(&message.content))?;
        }
        Format::Quiet => {}
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients() {
        assert_eq!("MANAGER".parse(), Ok(To::Manager));
        assert_eq!("all".parse(), Ok(To::All));
        assert_eq!("18446744073709551615".parse(), Ok(To::Peer(u64::MAX)));
        for text in ["", "-1", "no-such-peer", "18446744073709551616"] {
            assert_eq!(text.parse::<To>(), Err("expected ALL, MANAGER or the number of a peer".to_owned()));
        }
    }
}
