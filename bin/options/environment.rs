//! Options from the environment.

use super::{Known, check};
use crate::exit::Failure;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "PROLETARIAT_";

/// The values of known options. An empty variable counts as none: container files cannot leave one out. Variables that
/// name no option are left alone; they may be for another of the executables.
pub(super) fn read(
    environment: &BTreeMap<String, OsString>,
    known: &Known,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = BTreeMap::new();
    for (name, arg) in known {
        let variable = format!("{PREFIX}{}", name.to_uppercase());
        let Some(value) = environment.get(&variable).filter(|value| !value.is_empty()) else {
            continue;
        };
        let text = value.to_str().ok_or_else(|| Failure::usage(format!("{variable}: not UTF-8")))?;
        // Container platforms describe a service called `proletariat` with variables of this form.
        if name == "port" && text.starts_with("tcp://") {
            warnings
                .push(format!("{variable}={text} ignored: it describes a container's service, not a port"));
            continue;
        }
        check(arg, value).map_err(|reason| Failure::usage(format!("{variable}: {reason}")))?;
        values.insert(name.clone(), text.to_owned());
    }
    Ok(values)
}
