//! Precedence and faults of the three places, on a small command line and on those of the executables.

use super::*;
use clap::Subcommand;
use std::io::Write;
use std::time::Duration;

#[derive(Parser, Debug)]
struct Small {
    #[command(flatten)]
    place: Place,
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Verb,
}

#[derive(clap::Args, Debug)]
struct Place {
    #[arg(long, global = true, default_value = "127.0.0.1", value_parser = value::host_port)]
    host: value::HostPort,
    #[arg(long, global = true, default_value_t = 1917)]
    port: u16,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Work {
        #[arg(long, value_parser = value::duration)]
        run_timeout: Option<Duration>,
        #[arg(long)]
        no_wait: bool,
        payloads: Vec<OsString>,
    },
    Status {
        #[arg(long)]
        watch: bool,
    },
    Count {
        #[arg(long)]
        run_timeout: Option<u8>,
    },
}

/// Names and values.
type Variables<'a> = &'a [(&'a str, &'a str)];

fn surroundings(words: &[&str], environment: &[(&str, &str)]) -> Surroundings {
    Surroundings {
        arguments: std::iter::once("small").chain(words.iter().copied()).map(OsString::from).collect(),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
            .collect(),
    }
}

fn small(words: &[&str], environment: &[(&str, &str)]) -> Result<Parsed<Small>, Failure> {
    parse(&surroundings(words, environment))
}

/// (run timeout, no wait) of a call with a file that says so much.
fn work(file: &str, words: &[&str], environment: &[(&str, &str)]) -> (Option<u64>, bool) {
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(file.as_bytes()).unwrap();
    let config = on_disk.path().to_str().unwrap().to_owned();
    let words: Vec<_> = ["work", "--config", &config].into_iter().chain(words.iter().copied()).collect();
    let parsed = small(&words, environment).unwrap();
    let Verb::Work { run_timeout, no_wait, .. } = parsed.options.command else { panic!("not work") };
    (run_timeout.map(|time| u64::try_from(time.as_millis()).unwrap()), no_wait)
}

#[test]
fn a_value_is_for_the_command_that_was_chosen() {
    let long = [("PROLETARIAT_RUN_TIMEOUT", "2s")];
    assert!(small(&["status"], &long).is_ok(), "not for this one");
    assert!(small(&["work"], &long).is_ok());
    let error = small(&["count"], &long).unwrap_err().to_string();
    assert!(error.contains("PROLETARIAT_RUN_TIMEOUT: invalid value '2s'"), "{error}");
    let Verb::Count { run_timeout } =
        small(&["count"], &[("PROLETARIAT_RUN_TIMEOUT", "7")]).unwrap().options.command
    else {
        panic!("not count")
    };
    assert_eq!(run_timeout, Some(7));
    assert_eq!(work("run_timeout = '1s'\nwatch = 'whatever'", &[], &[]), (Some(1_000), false));
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let (time, wait) = ("PROLETARIAT_RUN_TIMEOUT", "PROLETARIAT_NO_WAIT");
    assert_eq!(work("", &[], &[]), (None, false));
    assert_eq!(work("run_timeout = '1s'\nno_wait = true", &[], &[]), (Some(1_000), true));
    assert_eq!(
        work("run_timeout = '1s'\nno_wait = true", &[], &[(time, "2s"), (wait, "false")]),
        (Some(2_000), false)
    );
    assert_eq!(work("", &[], &[(time, "2s"), (wait, "1")]), (Some(2_000), true));
    assert_eq!(work("run_timeout = 1", &["--run-timeout", "3"], &[(time, "2s")]), (Some(3), false));
    assert_eq!(work("no_wait = true", &["--no-wait=false"], &[(wait, "true")]), (None, false));
    assert_eq!(work("", &["--no-wait"], &[(wait, "false")]), (None, true));
    assert_eq!(work("run_timeout = 1", &[], &[(time, "")]), (Some(1), false), "an empty variable is none");
}

#[test]
fn the_files_name_comes_from_the_environment_too() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"port = 7").unwrap();
    let parsed = small(&["status"], &[("PROLETARIAT_CONFIG", file.path().to_str().unwrap())]).unwrap();
    assert_eq!(parsed.options.place.port, 7);
    assert_eq!(parsed.sources.of("port"), Layer::File);
    assert!(matches!(parsed.options.command, Verb::Status { watch: false }));
    assert!(parsed.options.config.is_some());
}

#[test]
fn faults_name_their_place() {
    let table: &[(&[&str], Variables, &str)] = &[
        (&["work", "--run-timeout", "2592001s"], &[], "--run-timeout"),
        (&["work", "--frobnicate"], &[], "--frobnicate"),
        (&["frobnicate"], &[], "frobnicate"),
        (
            &["work"],
            &[("PROLETARIAT_RUN_TIMEOUT", "31d")],
            "PROLETARIAT_RUN_TIMEOUT: invalid value '31d': longer than",
        ),
        (&["work"], &[("PROLETARIAT_PORT", "x")], "PROLETARIAT_PORT: invalid value 'x': "),
        (&["work"], &[("PROLETARIAT_NO_WAIT", "perhaps")], "PROLETARIAT_NO_WAIT: invalid value 'perhaps'"),
        (&["work", "--config", "absent.toml"], &[], "absent.toml: "),
    ];
    for (words, environment, text) in table {
        let failure = small(words, environment).expect_err(text);
        assert!(failure.to_string().contains(text), "{words:?}: {failure}");
        assert_eq!(failure.exit(), crate::exit::Exit::Usage, "{words:?}");
    }
}

#[test]
fn help_needs_no_good_file() {
    for words in [&["--help"][..], &["work", "--config", "absent.toml", "--help"]] {
        let failure = small(words, &[]).expect_err("help");
        assert_eq!(failure.exit(), crate::exit::Exit::Done);
    }
}

#[test]
fn run_together_names_are_aliases() {
    let parsed = small(&["work", "--runtimeout=5", "--nowait"], &[]).unwrap();
    assert!(
        matches!(parsed.options.command, Verb::Work { run_timeout: Some(time), no_wait: true, .. } if time.as_millis() == 5)
    );
}

#[test]
fn a_switch_takes_no_word_after_it() {
    let parsed = small(&["work", "--no-wait", "true"], &[]).unwrap();
    let Verb::Work { payloads, no_wait, .. } = parsed.options.command else { panic!("not work") };
    assert_eq!((payloads, no_wait), (vec![OsString::from("true")], true));
}

#[test]
fn a_containers_service_is_no_port() {
    let parsed = small(&["status"], &[("PROLETARIAT_PORT", "tcp://10.0.0.1:1917")]).unwrap();
    assert_eq!(parsed.options.place.port, 1917);
    assert_eq!(parsed.warnings.len(), 1);
    assert!(parsed.warnings[0].starts_with("PROLETARIAT_PORT=tcp://10.0.0.1:1917 ignored"));
    assert_eq!(parsed.sources.of("port"), Layer::Default);
}

#[test]
fn the_stronger_place_says_the_port() {
    let (host, port) = ("PROLETARIAT_HOST", "PROLETARIAT_PORT");
    let table: &[(&[&str], Variables, &str)] = &[
        (&["status"], &[], "127.0.0.1:1917"),
        (&["--host", "h:9", "status"], &[(port, "7")], "h:9"),
        (&["status", "--host", "h:9"], &[(port, "7")], "h:9"),
        (&["status", "--port", "7"], &[(host, "h:9")], "h:7"),
        (&["--port", "7", "status"], &[(host, "h:9"), (port, "8")], "h:7"),
        (&["status", "--host", "h"], &[(port, "7")], "h:7"),
        (&["status", "--host", "h:9", "--port", "9"], &[], "h:9"),
        (&["status", "--host", "[::1]:9"], &[], "[::1]:9"),
    ];
    for (words, environment, expected) in table {
        let parsed = small(words, environment).unwrap();
        let place = &parsed.options.place;
        let address = Address::new(&place.host, place.port, &parsed.sources).unwrap();
        assert_eq!(address.to_string(), *expected, "{words:?} {environment:?}");
    }
    let parsed = small(&["status", "--host", "h:9", "--port", "7"], &[]).unwrap();
    let error = Address::new(&parsed.options.place.host, 7, &parsed.sources).expect_err("two ports");
    assert_eq!(error.to_string(), "--host says port 9 and --port says 7: which one?");
}
