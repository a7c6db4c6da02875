//! `worker --http`: what each answer of a service, and none, does to the job.

use crate::harness::{Manager, Running, Test, nobody, until};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request as the service saw it.
#[derive(Clone, Debug)]
struct Request {
    /// `POST /mult`.
    line: String,
    content: String,
    body: Vec<u8>,
}

/// What the service does with a request: these bytes; nothing, and the end; nothing until the caller leaves.
enum Reply {
    Bytes(Vec<u8>),
    Hang,
}

/// A service on any free port, as long as the test runs.
struct Service {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Connections that the caller has closed.
    left: Arc<Mutex<usize>>,
}

impl Service {
    fn start(reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Self { url, requests: Arc::default(), left: Arc::default() };
        let (requests, left, reply) =
            (Arc::clone(&service.requests), Arc::clone(&service.left), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, left, reply) = (Arc::clone(&requests), Arc::clone(&left), Arc::clone(&reply));
                std::thread::spawn(move || {
                    serve(&stream.unwrap(), &requests, &*reply);
                    *left.lock().unwrap() += 1;
                });
            }
        });
        service
    }

    /// Always the same status and body.
    fn answering(status: &'static str, body: &'static str) -> Self {
        Self::start(move |_, _| Reply::Bytes(answer(status, body.as_bytes())))
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn worker(&self, manager: &Manager<'_>, options: &[&str]) -> Running {
        manager.ready_worker(&[&["--http", &self.url], options].concat())
    }
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Request>>, reply: &dyn Fn(usize, &Request) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = request(&mut reader) {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        match reply(number, &request) {
            Reply::Bytes(bytes) if bytes.is_empty() => return,
            Reply::Bytes(bytes) => {
                if (&mut &*stream).write_all(&bytes).is_err() {
                    return;
                }
            }
            Reply::Hang => {}
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Request> {
    let (mut line, mut length, mut content) = (String::new(), 0, String::new());
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|count| *count > 0)?;
        let header = header.trim_end().to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("content-type", value)) => content = value.to_owned(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(), content, body })
}

#[test]
fn the_body_is_the_payload_and_the_answer_the_result() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let service = Service::start(|_, request| Reply::Bytes(answer("201 Created", &request.body)));
    let _worker = service.worker(&manager, &["--kinds", "mult,a/b"]);
    let ended = manager.ask(&["work", "--kind", "mult", r#"{"a":3}"#, "no json", ""]).expect(0);
    assert_eq!(ended.lines(), [r#"{"a":3}"#, "no json", ""]);
    manager.ask(&["work", "--kind", "a/b", "x"]).expect(0);
    let large = "x".repeat(5 << 20);
    let ended = manager.ask_with(&["work", "--kind", "mult", "-"], format!("{large}\n")).expect(0);
    assert!(ended.text().trim_end() == large, "5 MiB come back as they went");
    let seen = service.requests();
    let json = seen.iter().find(|request| request.body.starts_with(b"{")).unwrap();
    assert_eq!((&*json.line, &*json.content), ("POST /mult", "application/json"));
    let text = seen.iter().find(|request| request.body == b"no json").unwrap();
    assert_eq!(text.content, "application/octet-stream");
    assert!(seen.iter().any(|request| request.line == "POST /a%2Fb"), "{:?}", seen.len());
}

#[test]
fn a_place_for_the_kind() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let service = Service::answering("200 OK", "done");
    let url = format!("{}/do/{{kind}}?x=1", service.url);
    let _worker = manager.ready_worker(&["--http", &url, "--kinds", "mult,.."]);
    manager.ask(&["work", "--kind", "mult", "x"]).expect(0);
    assert_eq!(service.requests()[0].line, "POST /do/mult?x=1");
    let ended = manager.ask(&["work", "--kind", "..", "x"]).expect(1);
    assert!(ended.text().starts_with("error EWORK: a job of kind \"..\""), "{}", ended.text());
    assert_eq!(service.requests().len(), 1);
}

#[test]
fn a_busy_service_is_asked_less_and_less_and_others_do_the_work() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let busy = ["403 Forbidden", "429 Too Many Requests", "503 Service Unavailable"].map(|status| {
        let service = Service::answering(status, "busy");
        let worker = service.worker(&manager, &["--kinds", "mult", "--slots", "100"]);
        (service, worker)
    });
    let job = manager.client(&["work", "--kind", "mult", "x"]);
    // Handed back again and again, with pauses that double: 50, 100, 200 … ms.
    until("each was asked", || busy.iter().all(|(service, _)| !service.requests().is_empty()).then_some(()));
    until("one was asked four times", || {
        busy.iter().any(|(service, _)| service.requests().len() >= 4).then_some(())
    });
    let asked: usize = busy.iter().map(|(service, _)| service.requests().len()).sum();
    assert!(asked < 60, "a busy loop: {asked}");
    let good = Service::answering("200 OK", "done");
    let _good = good.worker(&manager, &["--kinds", "mult"]);
    assert_eq!(job.close_input().ended().expect(0).text(), "done\n");
}

#[test]
fn what_is_not_its_kind_leaves_the_offer() {
    let test = Test::new();
    let manager = test.manager(&[]);
    for status in ["404 Not Found", "405 Method Not Allowed"] {
        let service = Service::answering(status, "what?");
        let worker = service.worker(&manager, &["--kinds", "mult,other"]);
        let ended = manager.ask(&["work", "--kind", "mult", "--assign-timeout", "300ms", "x"]).expect(4);
        assert!(ended.text().starts_with("error EATO"), "{}", ended.text());
        assert_eq!(service.requests().len(), 1);
        worker.until_it_says("POST ");
        worker.until_it_says("not offered any more");
        drop(worker);
        manager.until_workers(0);
    }
}

#[test]
fn other_statuses_fail_the_job_with_their_words() {
    let test = Test::new();
    let manager = test.manager(&[]);
    for status in ["400 Bad Request", "500 Internal Server Error", "302 Found"] {
        let service = Service::answering(status, "no such number");
        let worker = service.worker(&manager, &[]);
        let ended = manager.ask(&["work", "x"]).expect(1);
        let text = ended.text();
        assert!(text.starts_with("error EWORK: POST http://"), "{text}");
        assert!(text.contains(&format!("/: {status}: no such number")), "{text}");
        assert_eq!(service.requests().len(), 1);
        drop(worker);
        manager.until_workers(0);
    }
}

#[test]
fn a_gateway_or_a_connection_that_ends_counts_as_an_attempt() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    for fault in [Vec::new(), answer("502 Bad Gateway", b""), answer("504 Gateway Timeout", b"")] {
        let service = Service::start(move |number, _| {
            Reply::Bytes(if number < 2 { fault.clone() } else { answer("200 OK", b"third") })
        });
        let worker = service.worker(&manager, &["--slots", "1"]);
        assert_eq!(manager.ask(&["work", "x"]).expect(0).text(), "third\n");
        drop(worker);
        manager.until_workers(0);
    }
    let service = Service::start(move |_, _| Reply::Bytes(half.to_vec()));
    let _worker = service.worker(&manager, &["--slots", "1"]);
    // The service closes nothing by itself, so the end of the answer does not come: the run limit ends it.
    let ended = manager.ask(&["work", "--run-timeout", "200ms", "x"]).expect(4);
    assert!(ended.text().starts_with("error ETO"), "{}", ended.text());
}

#[test]
fn a_service_that_is_not_there_loses_nothing() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let address = nobody();
    let _worker = manager.ready_worker(&["--http", &format!("http://{address}/")]);
    let job = manager.client(&["work", "x"]);
    until("it was handed back", || {
        let worker = manager.workers().remove(0);
        (worker.to_string().contains("paus") || manager.count("queued_jobs") == 1).then_some(())
    });
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(&stream, &Mutex::default(), &|_, _| Reply::Bytes(answer("200 OK", b"at last")));
    });
    assert_eq!(job.close_input().ended().expect(0).text(), "at last\n");
}

#[test]
fn abort_and_run_limit_drop_the_connection() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let service = Service::start(|_, _| Reply::Hang);
    let _worker = service.worker(&manager, &[]);
    manager.ask(&["work", "--run-timeout", "100ms", "x"]).expect(4);
    until("the first connection is closed", || (*service.left.lock().unwrap() == 1).then_some(()));
    let job = manager.client(&["work", "y"]);
    until("it is there", || (service.requests().len() == 2).then_some(()));
    drop(job);
    until("the second connection is closed", || (*service.left.lock().unwrap() == 2).then_some(()));
    manager.until_idle();
}

#[test]
fn an_answer_over_the_limit_is_final() {
    let test = Test::new();
    let manager = test.manager(&["--max-payload", "1000"]);
    // An answer without an end: it is cut off where nobody would take it any more.
    let service = Service::start(|_, _| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n";
        Reply::Bytes([&head[..], &[b'x'; 5_000]].concat())
    });
    let _worker = service.worker(&manager, &[]);
    let ended = manager.ask(&["work", "x"]).expect(1);
    assert!(ended.text().starts_with("error ELARGEMSG"), "{}", ended.text());
    assert_eq!(service.requests().len(), 1);
}

#[test]
fn strange_urls_are_usage_errors_and_a_worker_has_one_handler() {
    let test = Test::new();
    for (url, reason) in [("https://h/", "https is not spoken"), ("h", "http://host:port/path")] {
        test.run("worker", &["--http", url]).expect(2).said(&["--http", reason]);
    }
    let words = ["--http", "http://h/", "--builtin", "sleep"];
    test.run("worker", &words).expect(2).said(&["--builtin and --http", "one handler"]);
    // What is named in a stronger place beats what is named in a weaker one.
    let manager = test.manager(&[]);
    let mut command = test.command("worker", &["--builtin", "echo", "--port", &manager.port.to_string()]);
    command.env("PROLETARIAT_HTTP", "http://h/");
    let _worker = test.spawn(command);
    manager.until_workers(1);
    assert_eq!(manager.ask(&["work", "x"]).expect(0).text(), "x\n");
}
