//! TLS: who speaks it and who does not, certificates of both sides, and their change.

use crate::harness::{Certificates, Ended, Manager, Running, Test, Way, connect, read_to_end, until};
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

fn borrowed<'a>(options: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    options.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn encrypted<'a>(
    test: &'a Test,
    certificates: &Certificates,
    more: &[(&'static str, String)],
) -> Manager<'a> {
    let options = [&certificates.of_manager()[..], more].concat();
    test.manager_by(Way::Flag, &borrowed(&options))
}

fn worker(test: &Test, manager: &Manager<'_>, certificates: &Certificates) -> Running {
    let port = manager.port.to_string();
    test.start(
        "worker",
        &["--port", &port, "--con-retrytime", "50ms", "--tls-ca", &certificates.path("ca.pem")],
    )
}

/// `client` that trusts these certificates.
fn client(test: &Test, manager: &Manager<'_>, certificates: &Certificates, words: &[&str]) -> Ended {
    let (port, ca) = (manager.port.to_string(), certificates.path("ca.pem"));
    test.run("client", &[words, &["--port", &port, "--tls-ca", &ca]].concat())
}

#[test]
fn jobs_travel_encrypted() {
    for way in Way::ALL {
        let test = Test::new();
        let certificates = Certificates::new(&test, "certificates");
        let manager = test.manager_by(way, &borrowed(&certificates.of_manager()));
        let (port, ca) = (manager.port.to_string(), certificates.path("ca.pem"));
        let name = "broker.example".to_owned();
        let options = [("port", port), ("tls_ca", ca), ("tls_name", name)];
        let worker = test.spawn(way.command(&test, "worker", &borrowed(&options)));
        let words = ["work", "x", "--timeout", "20s"];
        assert_eq!(client(&test, &manager, &certificates, &words).expect(0).text(), "x\n");
        worker.signal(Signal::TERM);
        worker.ended().expect(0);
        manager.process.signal(Signal::TERM);
        manager.process.ended().expect(0);
    }
}

#[test]
fn much_goes_through_and_comes_back_unchanged() {
    let test = Test::new();
    let certificates = Certificates::new(&test, "certificates");
    let manager = encrypted(&test, &certificates, &[]);
    let _worker = worker(&test, &manager, &certificates);
    let (port, ca) = (manager.port.to_string(), certificates.path("ca.pem"));
    let words = ["work", "-", "--port", &port, "--tls-ca", &ca, "--timeout", "60s"];
    // One line is far larger than all buffers on the way, and the small ones are many.
    let lines: Vec<String> = (0..20_000).map(|number| format!("job {number}")).collect();
    let input = format!("{}\n{}\n", "large ".repeat(1 << 20), lines.join("\n"));
    let answers = test.start("client", &words).feed(input.clone()).ended().expect(0).text();
    assert!(answers == input, "{} bytes went, {} came", input.len(), answers.len());
}

#[test]
fn who_speaks_no_tls_is_told_so() {
    let test = Test::new();
    let certificates = Certificates::new(&test, "certificates");
    let manager = encrypted(&test, &certificates, &[]);
    manager.ask(&["work", "x"]).expect(5).said(&["EAUTH", "TLS"]);
    let mut stream = connect(manager.address());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(read_to_end(&stream).starts_with(b"HTTP/1.1 400 "));
    let plain = test.manager(&[]);
    client(&test, &plain, &certificates, &["work", "x", "--connect-timeout", "500ms"]).expect(3);
}

#[test]
fn certificates_are_held_against_their_authority_and_name() {
    let test = Test::new();
    let certificates = Certificates::new(&test, "certificates");
    let others = Certificates::new(&test, "others");
    let manager = encrypted(&test, &certificates, &[]);
    let words = ["work", "x", "--connect-timeout", "1s"];
    client(&test, &manager, &others, &words).expect(3).said(&["certificate"]);
    manager.process.until_it_says("no TLS session");
    let named = [&words[..], &["--tls-name", "elsewhere.example"]].concat();
    client(&test, &manager, &certificates, &named).expect(3).said(&["certificate"]);
    client(&test, &manager, &certificates, &["status"]).expect(0);
}

#[test]
fn a_manager_may_ask_for_certificates_too() {
    let test = Test::new();
    let certificates = Certificates::new(&test, "certificates");
    let others = Certificates::new(&test, "others");
    let manager = encrypted(&test, &certificates, &[("tls_client_ca", certificates.path("ca.pem"))]);
    let without = ["status", "--connect-timeout", "1s"];
    client(&test, &manager, &certificates, &without).expect(3);
    let with = |certificates: &Certificates| {
        let (own, key) = (certificates.path("peer.pem"), certificates.path("peer.key"));
        [&without[..], &["--tls-cert", &own, "--tls-key", &key]]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let strange: Vec<String> = with(&others);
    let own: Vec<String> = with(&certificates);
    let run = |words: &[String]| {
        client(&test, &manager, &certificates, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run(&strange).expect(3);
    run(&own).expect(0);
}

#[test]
fn options_that_do_not_fit_together_are_usage_errors() {
    let test = Test::new();
    let certificates = Certificates::new(&test, "certificates");
    let (ca, key) = (certificates.path("ca.pem"), certificates.path("manager.key"));
    test.run("manager", &["--tls-cert", &ca]).expect(2).said(&["--tls-key"]);
    test.run("manager", &["--tls-client-ca", &ca]).expect(2).said(&["--tls-cert"]);
    test.run("client", &["work", "x", "--tls-name", "x"]).expect(2).said(&["--tls-ca"]);
    test.run("worker", &["--tls-ca", &key]).expect(2).said(&["no certificate", &key]);
    test.run("manager", &["--port", "0", "--tls-cert", &ca, "--tls-key", &key]).expect(2).said(&[&key]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let words = ["--port", "0", "--tls-cert", &certificates.path("manager.pem"), "--tls-key", &key];
    test.run("manager", &words).expect(2).said(&["chmod 600"]);
}

#[test]
fn a_new_certificate_counts_after_sighup_and_open_sessions_stay() {
    let test = Test::new();
    let certificates = Certificates::new(&test, "certificates");
    let others = Certificates::new(&test, "others");
    let manager = encrypted(&test, &certificates, &[]);
    let mut worker = worker(&test, &manager, &certificates);
    client(&test, &manager, &certificates, &["work", "x"]).expect(0);
    for name in ["manager.pem", "manager.key"] {
        fs::write(certificates.path(name), fs::read(others.path(name)).unwrap()).unwrap();
    }
    manager.process.signal(Signal::HUP);
    until("the manager has read them", || manager.process.err().contains("read again").then_some(()));
    client(&test, &manager, &certificates, &["status", "--connect-timeout", "500ms"]).expect(3);
    client(&test, &manager, &others, &["work", "--no-wait", "x"]).expect(0);
    assert!(worker.is_running());
}

#[test]
fn silence_is_not_waited_for() {
    let test = Test::new();
    let certificates = Certificates::new(&test, "certificates");
    let more = [("handshake_timeout", "300ms".to_owned()), ("host", "0.0.0.0".to_owned())];
    let manager = encrypted(&test, &certificates, &more);
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x02"] {
        let mut stream = connect(manager.address());
        stream.write_all(bytes).unwrap();
        let begun = Instant::now();
        read_to_end(&stream);
        assert!(begun.elapsed().as_millis() >= 250, "{bytes:?}");
    }
    client(&test, &manager, &certificates, &["status"]).expect(0);
}
