//! The address of a manager, from `--host` and `--port`.

use super::Sources;
use super::value::HostPort;
use crate::exit::Failure;
use std::fmt;

/// Host and port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// A port in `--host` beats a `--port` of a weaker layer (a flag beats a variable), and the other way round.
    ///
    /// # Errors
    /// Usage, if both say a port in the same layer and they differ.
    pub fn new(host: &HostPort, port: u16, sources: &Sources) -> Result<Self, Failure> {
        let (by_host, by_port) = (sources.of("host"), sources.of("port"));
        let port = match host.port {
            Some(other) if by_host == by_port && other != port => {
                return Err(Failure::usage(format!(
                    "--host says port {other} and --port says {port}: which one?"
                )));
            }
            Some(other) if by_host >= by_port => other,
            _ => port,
        };
        Ok(Self { host: host.host.clone(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
