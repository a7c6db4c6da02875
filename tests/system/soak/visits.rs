//! Clients that come, want one thing and go: what each is started with, and what it must have printed in the end.

use crate::harness::{Chance, Ended, Manager, Running};
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Longer than any of them may take on a machine that has other things to do too.
const VISIT_MAX: Duration = Duration::from_secs(60);
/// Jobs of the lower bound from which the JSON worker takes them, and which it alone takes.
pub(super) const JSON_PRIORITY: &str = "1000";

/// One line of output, or what must be in it.
#[derive(Clone, Debug)]
enum Line {
    Exactly(String),
    /// The work of `--builtin arith` tells its duration too.
    Begins(String),
    Error(&'static str),
}

/// How a visit must end.
#[derive(Clone, Debug)]
enum End {
    /// With this exit code, and these lines.
    Lines(i32, Vec<Line>),
    /// Either of them: a job that may run only once can lose its worker.
    OnceOrLost(String),
    /// The parts of a stream, and then the whole.
    Stream(&'static str),
    /// A system message that was told to somebody, and confirmed by nobody else.
    Report,
    /// It was told to end, or killed; nobody waits for its answers.
    Nobody,
}

/// One client.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) what: &'static str,
    pub(super) jobs: usize,
    process: Running,
    end: End,
    /// A system message to everybody.
    told: Option<String>,
    begun: Instant,
    /// When it is sent away, and how.
    leaves: Option<(Instant, Signal)>,
}

/// What is to be started.
struct Wish {
    what: &'static str,
    words: Vec<String>,
    input: Option<String>,
    jobs: usize,
    end: End,
    leaves: Option<Signal>,
}

fn wish(what: &'static str, words: &[&str], payloads: Vec<String>, end: End) -> Wish {
    let words = words.iter().map(ToString::to_string).chain(payloads.iter().cloned()).collect();
    Wish { what, words, input: None, jobs: payloads.len(), end, leaves: None }
}

/// The same payloads are the results.
fn echoed(what: &'static str, words: &[&str], payloads: Vec<String>) -> Wish {
    let lines = payloads.iter().cloned().map(Line::Exactly).collect();
    wish(what, words, payloads, End::Lines(0, lines))
}

fn failed(what: &'static str, words: &[&str], payloads: &[&str], code: &'static str, exit: i32) -> Wish {
    let lines = vec![Line::Error(code); payloads.len()];
    wish(what, words, payloads.iter().map(ToString::to_string).collect(), End::Lines(exit, lines))
}

fn lines_of(what: &'static str, words: &[&str], payloads: Vec<String>) -> Wish {
    let input = payloads.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let mut wish = echoed(what, words, payloads);
    wish.words.truncate(words.len());
    Wish { input: Some(input), ..wish }
}

/// A stranger with a wish drawn by chance; the number makes its payloads its own.
fn draw(chance: &mut Chance, number: usize) -> Wish {
    let count = 1 + chance.below(20);
    let own = |job: u64| format!("visit {number} job {job}");
    let priority = chance.below(4).to_string();
    let echo = ["work", "--kind", "echo", "--priority", &priority];
    let sleep = ["work", "--kind", "sleep", "--priority", &priority];
    match chance.below(18) {
        0 | 1 => echoed("group, in order", &echo, (0..count).map(own).collect()),
        2 | 3 => {
            let times = (0..count).map(|job| format!("{}ms", 1 + job * 37 % 90)).collect();
            echoed("group of unequal jobs", &sleep, times)
        }
        4 => arithmetic(number),
        5 => failed("handler refuses", &["work", "--kind", "mult"], &["nonsense"], "EWORK", 1),
        6 => {
            let payload = format!("{{\"a\":{number},\"b\":7}}");
            let lines = vec![Line::Exactly((number * 7).to_string())];
            let words = ["work", "--priority", JSON_PRIORITY];
            wish("JSON worker", &words, vec![payload], End::Lines(0, lines))
        }
        7 => failed("call's timeout", &[&sleep[..], &["--timeout", "200ms"]].concat(), &["20s"], "ECSTO", 4),
        8 => {
            let words = [&sleep[..], &["--run-timeout", "100ms"]].concat();
            failed("run timeout", &words, &["20s", "21s"], "ETO", 4)
        }
        9 => {
            let words = ["work", "--kind", "nobody's", "--assign-timeout", "150ms"];
            failed("assign timeout", &words, &["x", "y"], "EATO", 4)
        }
        10 => failed("no wait", &["work", "--kind", "nobody's", "--no-wait"], &["x"], "ENOWORKER", 1),
        11 => {
            let key = format!("key {}", number / 40);
            echoed("similar work", &[&sleep[..], &["--key", &key]].concat(), vec!["60ms".into(); 3])
        }
        12 => {
            let words = ["work", "--kind", "stream", "--stream", "--output", "jsonl"];
            wish("stream", &words, vec!["x".into()], End::Stream("one\ntwo\nthree\n"))
        }
        13 => {
            let times = vec!["20s".to_owned(); count as usize];
            let leaves = Some(if chance.below(2) == 0 { Signal::INT } else { Signal::KILL });
            Wish { leaves, ..wish("abort", &sleep, times, End::Nobody) }
        }
        14 => {
            let to = ["ALL", "MANAGER"][chance.below(2) as usize];
            let words = ["sysmsg", "--output", "json", "--to", to];
            let mut wish =
                wish("system message", &words, vec![format!("message {number} {to}")], End::Report);
            wish.jobs = 0;
            wish
        }
        15 => lines_of("burst", &["work", "-", "--kind", "sleep"], vec!["3ms".into(); 500]),
        16 => lines_of("large", &["work", "-", "--kind", "echo"], vec![own(0).repeat(20_000); 2]),
        _ => {
            let payload = format!("{}ms", 1 + number % 50);
            let words = [&sleep[..], &["--max-attempts", "1"]].concat();
            wish("at most once", &words, vec![payload.clone()], End::OnceOrLost(payload))
        }
    }
}

fn arithmetic(number: usize) -> Wish {
    let (kind, result) = if number.is_multiple_of(2) { ("mult", number * 3) } else { ("add", number + 3) };
    let lines = vec![Line::Begins(format!("{{\"res\":{result},"))];
    let payload = format!("{{\"a\":{number},\"b\":3}}");
    wish("arithmetic", &["work", "--kind", kind], vec![payload], End::Lines(0, lines))
}

impl Visit {
    pub(super) fn begin(manager: &Manager<'_>, chance: &mut Chance, number: usize) -> Self {
        let wish = draw(chance, number);
        let words: Vec<&str> = wish.words.iter().map(String::as_str).collect();
        let process = manager.client(&words);
        let process = match wish.input {
            Some(input) => process.feed(input),
            None => process.close_input(),
        };
        let begun = Instant::now();
        let told = wish.words.last().filter(|last| last.ends_with(" ALL")).cloned();
        let leaves =
            wish.leaves.map(|signal| (begun + Duration::from_millis(50 + chance.below(400)), signal));
        Self { what: wish.what, jobs: wish.jobs, process, end: wish.end, told, begun, leaves }
    }

    /// The system message that it tells everybody.
    pub(super) fn tells_all(&self) -> Option<String> {
        self.told.clone()
    }

    /// Sends it away if it is time; tells whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        if let Some((_, signal)) = self.leaves.take_if(|(at, _)| *at <= Instant::now()) {
            self.process.signal(signal);
        }
        !self.process.is_running()
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.begun.elapsed() > VISIT_MAX
    }

    /// How many answers it got, or what was wrong with them. It has ended.
    pub(super) fn judge(self) -> Result<usize, String> {
        let Self { what, jobs, process, end, .. } = self;
        let ended = process.ended();
        if right(&ended, &end) {
            return Ok(if matches!(end, End::Nobody) { 0 } else { jobs });
        }
        let text: String = ended.text().chars().take(400).collect();
        Err(format!("{what}: exit {:?}, printed {text:?}, said {:?}; wanted {end:?}", ended.code, ended.err))
    }
}

fn right(ended: &Ended, end: &End) -> bool {
    let lines = ended.lines();
    match end {
        End::Lines(code, wanted) => {
            ended.code == Some(*code)
                && lines.len() == wanted.len()
                && lines.iter().zip(wanted).all(|(line, wanted)| is(line, wanted))
        }
        End::OnceOrLost(result) => match ended.code {
            Some(0) => lines == [result.as_str()],
            Some(1) => lines.len() == 1 && is(&lines[0], &Line::Error("ECRASH")),
            _ => false,
        },
        End::Stream(whole) => ended.code == Some(0) && streamed(&lines, whole),
        End::Report => {
            let report: Value = serde_json::from_slice(&ended.out).unwrap_or_default();
            let (sent, received) = (report["sentTo"].as_u64(), report["receivedBy"].as_u64());
            ended.code == Some(0) && sent.is_some() && sent >= received
        }
        // No answer in any case: all its jobs take longer than it stays.
        End::Nobody => lines.is_empty() && matches!(ended.code, None | Some(130)),
    }
}

fn is(line: &str, wanted: &Line) -> bool {
    match wanted {
        Line::Exactly(text) => line == text,
        Line::Begins(text) => line.starts_with(text.as_str()),
        Line::Error(code) => line.strip_prefix("error ").is_some_and(|rest| rest.starts_with(code)),
    }
}

/// All parts of the last run in their order, and then the whole.
fn streamed(lines: &[String], whole: &str) -> bool {
    let mut parts = String::new();
    for (at, line) in lines.iter().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        if line["restarted"] == true {
            parts.clear();
        } else if let Some(part) = line["data"].as_str() {
            parts.push_str(part);
        } else {
            return at + 1 == lines.len() && line["result"] == whole && parts == whole;
        }
    }
    false
}
