//! `client sysmsg`: what peers tell each other beside the jobs.

use super::{Interrupt, ManagerAt, rest_of};
use crate::exit::{Exit, Failure};
use crate::options::value::duration;
use crate::options::{Layer, Sources};
use crate::output::{Format, value};
use crate::terminal::say;
use clap::Args;
use futures_util::FutureExt;
use proletariat::client::{Client, LinkState, SystemMessage, SystemReport};
use proletariat_protocol::PeerId;
use proletariat_protocol::message::Recipient;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::pin::{Pin, pin};
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

/// Messages that come, each with whom to tell that it has been printed.
type Incoming = mpsc::Receiver<(SystemMessage, oneshot::Sender<()>)>;

impl SysmsgOptions {
    /// What is to be told; `None`: others are to be listened to. A content stands on the command line, so it beats a file and a
    /// variable.
    fn told(&self, sources: &Sources) -> Result<Option<OsString>, Failure> {
        match &self.content {
            Some(_) if self.listen && sources.of("listen") == Layer::Flag => {
                Err(Failure::usage("CONTENT and --listen: which one?"))
            }
            Some(content) => Ok(Some(content.clone())),
            None if self.listen => Ok(None),
            None => Err(Failure::usage("give a CONTENT to tell, or --listen")),
        }
    }
}

pub(super) async fn run(
    options: SysmsgOptions,
    manager: &ManagerAt,
    sources: &Sources,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let content = options.told(sources)?;
    let called = Instant::now();
    let timeout = options.timeout.unwrap_or_default();
    let client = interrupt.or(manager.connect("client sysmsg", timeout)).await??;
    let Some(content) = content else {
        return interrupt.or(listen(&client, options.output)).await?;
    };
    let rest = rest_of(timeout, called);
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
    let (sender, mut incoming): (_, Incoming) = mpsc::channel(1);
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
    let mut own_id = None;
    loop {
        // Begun before the look: what changes is seen by the one or the other, however long a message takes to be printed.
        let mut change = pin!(client.link_changed());
        let early = change.as_mut().now_or_never();
        heed(client.link_state(), &mut own_id)?;
        let state = match early {
            Some(state) => state,
            None => print_until(change, &mut incoming, format).await?,
        };
        if state.is_none() {
            return Err(Failure::new(Exit::Failed, "the connection has ended"));
        }
    }
}

/// Tells who we are in each session. That there will be none any more is an error.
fn heed(state: LinkState, own_id: &mut Option<PeerId>) -> Result<(), Failure> {
    match state {
        LinkState::Up { peer, .. } if *own_id != Some(peer) => {
            *own_id = Some(peer);
            say(&format!("listening as peer {peer}"));
        }
        LinkState::Up { .. } => {}
        LinkState::Over { error } => return Err(Failure::new(Exit::Failed, error.to_string())),
        _ => *own_id = None,
    }
    Ok(())
}

/// Prints what comes until the link changes; to what. `None`: nothing comes any more.
async fn print_until(
    mut change: Pin<&mut impl Future<Output = Option<LinkState>>>,
    incoming: &mut Incoming,
    format: Format,
) -> io::Result<Option<LinkState>> {
    loop {
        tokio::select! {
            message = incoming.recv() => {
                let Some((message, printed)) = message else { return Ok(None) };
                show_message(&message, format)?;
                let _ = printed.send(());
            }
            state = &mut change => return Ok(state),
        }
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
    use super::super::{ClientCommand, ClientOptions};
    use super::*;
    use crate::options::{Surroundings, parse};

    #[test]
    fn recipients() {
        assert_eq!("MANAGER".parse(), Ok(To::Manager));
        assert_eq!("all".parse(), Ok(To::All));
        assert_eq!("18446744073709551615".parse(), Ok(To::Peer(u64::MAX)));
        for text in ["", "-1", "no-such-peer", "18446744073709551616"] {
            assert_eq!(text.parse::<To>(), Err("expected ALL, MANAGER or the number of a peer".to_owned()));
        }
    }

    fn told(words: &[&str], listen: Option<&str>) -> Result<Option<OsString>, String> {
        let arguments = ["client", "sysmsg"].iter().chain(words).map(OsString::from).collect();
        let variable = listen.map(|value| ("PROLETARIAT_LISTEN".to_owned(), OsString::from(value)));
        let surroundings = Surroundings { arguments, environment: variable.into_iter().collect() };
        let parsed = parse::<ClientOptions>(&surroundings).unwrap();
        let ClientCommand::Sysmsg(options) = parsed.options.command else { panic!("not sysmsg") };
        options.told(&parsed.sources).map_err(|failure| failure.to_string())
    }

    #[test]
    fn either_a_content_or_listening() {
        let content = || Ok(Some(OsString::from("x")));
        assert_eq!(told(&["x"], None), content());
        assert_eq!(told(&["x", "--listen=false"], None), content());
        assert_eq!(told(&["x"], Some("true")), content(), "a content beats a variable");
        assert_eq!(told(&["--listen"], None), Ok(None));
        assert_eq!(told(&[], Some("true")), Ok(None));
        for words in [&["--listen=false"][..], &[]] {
            assert!(told(words, None).unwrap_err().contains("CONTENT"), "{words:?}");
        }
        assert!(told(&["--listen=false"], Some("true")).unwrap_err().contains("CONTENT"));
        assert!(told(&["x", "--listen"], None).unwrap_err().contains("--listen"));
    }
}
