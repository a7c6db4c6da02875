//! What holds for all three executables, and needs no manager.

use crate::fleet::{assert_ended, executable, printed, run};
use std::io::Read;
use std::process::Stdio;

#[test]
fn version_is_one_line_and_help_is_data() {
    for name in ["manager", "worker", "client"] {
        let version = run(name, &["--version"], b"");
        assert_eq!(printed(&version), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
        let help = run(name, &["--help"], b"");
        assert_ended(&help, 0, &[]);
        assert!(printed(&help).contains("Examples:") && help.stderr.is_empty());
        assert!(!printed(&help).contains('\x1b'), "colour although it is no terminal");
        let wrong = run(name, &["--frobnicate"], b"");
        assert_ended(&wrong, 2, &["--frobnicate"]);
        assert!(wrong.stdout.is_empty());
    }
}

#[test]
fn colour_is_there_when_asked_for() {
    let wrong = run("manager", &["--color=always", "--frobnicate"], b"");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("\x1b["));
}

#[test]
fn a_closed_pipe_is_no_words_worth() {
    let mut child = executable("manager");
    let mut child = child.arg("--help").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut talk = String::new();
    child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert_eq!((talk.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn a_containers_service_address_is_ignored_with_a_word() {
    let mut command = executable("client");
    let command = command.args(["status", "--connect-timeout", "100ms", "--host", "127.0.0.1:1"]);
    let output = command.env("PROLETARIAT_PORT", "tcp://10.0.0.9:1917").output().unwrap();
    assert_ended(&output, 3, &["warning: PROLETARIAT_PORT=tcp://10.0.0.9:1917 ignored", "127.0.0.1:1"]);
}
