//! `client sysmsg`: what peers tell each other beside the jobs.

use crate::options::value::duration;
use crate::output::Format;
use clap::Args;
use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

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
