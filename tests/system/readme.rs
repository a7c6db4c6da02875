//! Every command block of the README does what it says, in the order of the README.

use crate::harness::{Running, Test, until};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The port of the documents, which the README uses.
const PORT: u16 = 1917;

/// What becomes of a line.
#[derive(PartialEq, Eq, Debug)]
enum Line {
    /// Building and testing: that this test runs proves that it works.
    Proven,
    /// Holds for the lines that follow.
    Setting(String),
    /// Runs until the end.
    Daemon(String),
    /// Ends by itself and prints something.
    Command(String),
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The lines of all blocks that are marked as shell.
fn shell_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside && !line.trim().is_empty() && !line.starts_with('#') => {
                lines.push(line.to_owned());
            }
            _ => {}
        }
    }
    lines
}

fn meant(line: &str) -> Line {
    if line.starts_with("cargo build") || line.starts_with("cargo test") {
        return Line::Proven;
    }
    if line.starts_with("export ") {
        return Line::Setting(line.to_owned());
    }
    let line = match line.strip_prefix("cargo run --release --bin ") {
        Some(rest) => rest.replacen(" -- ", " ", 1),
        None => line.to_owned(),
    };
    match line.split_whitespace().next() {
        Some("manager") if line.split_whitespace().nth(1).is_some_and(|word| !word.starts_with('-')) => {
            Line::Command(line)
        }
        Some("manager" | "worker") => Line::Daemon(line),
        _ => Line::Command(line),
    }
}

#[test]
fn lines_are_understood() {
    assert_eq!(meant("cargo test --release --workspace"), Line::Proven);
    assert_eq!(meant("cargo run --release --bin client -- demo"), Line::Command("client demo".into()));
    assert_eq!(meant("worker --slots 3"), Line::Daemon("worker --slots 3".into()));
    assert_eq!(meant("manager token new x"), Line::Command("manager token new x".into()));
    assert_eq!(meant("seq 3 | client work -"), Line::Command("seq 3 | client work -".into()));
    let text = "text\n```sh\na\n\n# comment\nb\n```\n```text\nc\n```\n";
    assert_eq!(shell_lines(text), ["a", "b"]);
}

/// The shell with the settings so far, and our executables before all others.
fn shell(test: &Test, settings: &str, line: &str) -> Running {
    let client = test.command("client", &[]);
    let folder = Path::new(client.get_program()).parent().unwrap().to_owned();
    let mut command = Command::new("bash");
    let script = format!("set -e -o pipefail\n{settings}PATH='{}':\"$PATH\"\n{line}\n", folder.display());
    command.args(["-c", &script]).current_dir(root());
    test.spawn(command)
}

#[test]
fn every_block_works() {
    let test = Test::alone();
    let free = TcpListener::bind(("127.0.0.1", PORT));
    assert!(
        free.is_ok(),
        "something else listens on port {PORT}, which the README uses: stop it for this test"
    );
    drop(free);
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let lines = shell_lines(&text);
    assert!(lines.len() >= 10, "the README has lost its blocks: {lines:?}");
    // What the README keeps at home goes with the test.
    let mut settings = format!("export HOME='{}'\n", test.path("").display());
    let mut daemons: Vec<Running> = Vec::new();
    for line in &lines {
        match meant(line) {
            Line::Proven => {}
            Line::Setting(setting) => {
                settings.push_str(&setting);
                settings.push('\n');
                shell(&test, &settings, "true").close_input().ended().expect(0);
            }
            Line::Daemon(daemon) => {
                daemons.push(shell(&test, &settings, &daemon));
                until("the manager listens", || TcpStream::connect(("127.0.0.1", PORT)).ok());
            }
            Line::Command(command) => {
                println!("$ {command}");
                let ended = shell(&test, &settings, &command).close_input().ended().expect(0);
                assert!(!ended.text().trim().is_empty(), "`{command}` prints nothing");
            }
        }
    }
    for daemon in &mut daemons {
        assert!(daemon.is_running(), "{daemon:?}");
    }
}
