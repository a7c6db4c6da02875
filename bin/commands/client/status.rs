//! `client status`: the manager's state.

use crate::output::Format;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  client status
  client status --watch
  client status --output json | jq '.workers[].ranges'";

/// Options of `client status`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusOptions {
    /// Show it again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Form of what is printed
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: Format,
}
