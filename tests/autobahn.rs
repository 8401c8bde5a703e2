//! The Autobahn test suite's fuzzing server judges the WebSocket client: framing, pings, reserved bits, opcodes,
//! fragmentation, UTF-8 and closing; and, with `--ignored`, messages up to 16 MiB.
//!
//! The suite is Python code that `../shared/autobahn/run.sh` installs and starts (another folder than `../shared` can be
//! named in WIREBOOK_SHARED). Without that folder, Python 3.11 or a way to install, the test is skipped and says so.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use wirebook::net::tls::TlsRoots;
use wirebook::net::ws::TextCheck;
use wirebook::net::{LinkState, Message, NetConfig, Url, WsLink};

/// One case takes seconds at most, except those of group 9.
const CASE_TIME_MAX: Duration = Duration::from_secs(120);

/// Cases that run at the same time; most of them wait most of their time.
const CONNECTIONS: usize = 6;

/// Cases that may be NON-STRICT, each with its reason.
const NON_STRICT: &[(&str, &str)] = &[];

#[test]
fn every_case_on_the_protocol_passes() {
    judge("protocol", &[], 247);
}

#[test]
#[ignore = "the suite itself computes for most of a minute"]
fn every_case_on_limits_passes() {
    judge("limits", &["--cases", "9.*"], 54);
}

/// Runs the client over the cases that the server offers with these arguments.
fn judge(name: &str, arguments: &[&str], cases_expected: usize) {
    let shared = match std::env::var_os("WIREBOOK_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let script = shared.join("autobahn/run.sh");
    if !script.exists() {
        println!("skipped: {} is not there", script.display());
        return;
    }
    if !Command::new("python3.11").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no python3.11");
        return;
    }
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("autobahn");
    let suite = work.join("suite");
    let reports = work.join(name);
    std::fs::create_dir_all(&reports).unwrap();
    let installed = Command::new(&script).arg("install").arg(&suite).output().unwrap();
    if !installed.status.success() {
        println!("skipped: the suite cannot be installed: {}", String::from_utf8_lossy(&installed.stderr));
        return;
    }

    let server = Server::start(&script, &suite, &reports, arguments);
    let cases: usize = text_at(&server, "/getCaseCount").parse().unwrap();
    assert_eq!(cases, cases_expected, "the suite has other cases than this test was written for");
    let next = AtomicUsize::new(1);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case > cases {
                        return;
                    }
                    if let Err(error) = echo_until_closed(&server, &format!("/runCase?case={case}&agent=wirebook")) {
                        failures.lock().unwrap().push(format!("case number {case}: {error}"));
                    }
                }
            });
        }
    });
    echo_until_closed(&server, "/updateReports?agent=wirebook").unwrap();
    assert_eq!(failures.into_inner().unwrap(), Vec::<String>::new());
    drop(server);

    assert!(!reports.join("suite-errors.txt").exists(), "the suite itself had an error");
    let report = std::fs::read(reports.join("index.json")).unwrap();
    let report: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&report).unwrap();
    let results = &report["wirebook"];
    assert_eq!(results.len(), cases);
    let mut bad = Vec::new();
    let mut counts = BTreeMap::new();
    for (case, result) in results {
        let behavior = result["behavior"].as_str().unwrap();
        let closing = result["behaviorClose"].as_str().unwrap();
        *counts.entry(behavior).or_insert(0) += 1;
        let excused = behavior == "NON-STRICT" && NON_STRICT.iter().any(|(name, _)| name == case);
        if !(matches!(behavior, "OK" | "INFORMATIONAL") || excused) || !matches!(closing, "OK" | "INFORMATIONAL") {
            bad.push(format!("{case}: {behavior}, closing {closing}"));
        }
    }
    println!("{name}: {counts:?}");
    assert_eq!(bad, Vec::<String>::new());
}

/// The suite's server; ends with the test.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(script: &Path, suite: &Path, reports: &Path, arguments: &[&str]) -> Self {
        // The server wants a number. A free one may be taken by somebody else before the server has it.
        for _ in 0..5 {
            let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut child = Command::new(script)
                .arg("serve")
                .arg(reports)
                .arg(addr.port().to_string())
                .arg("--suite")
                .arg(suite)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let server = Self { child, addr };
            if lines.any(|line| line.is_ok_and(|line| line.starts_with("READY"))) {
                // The server goes on printing; without a reader it would be stopped by that.
                thread::spawn(move || lines.for_each(drop));
                return server;
            }
        }
        panic!("the suite's server does not start");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_at(server: &Server, target: &str) -> String {
    let mut texts = Vec::new();
    drive(server, target, |_, message| {
        if let Message::Text(text) = message {
            texts.push(String::from_utf8(text.to_vec()).unwrap());
        }
        None
    })
    .unwrap();
    assert_eq!(texts.len(), 1, "{texts:?}");
    texts.remove(0)
}

fn echo_until_closed(server: &Server, target: &str) -> Result<(), String> {
    drive(server, target, |echo, message| {
        let (binary, payload) = match message {
            Message::Text(payload) => (false, payload),
            Message::Binary(payload) => (true, payload),
            _ => return None,
        };
        echo.clear();
        echo.extend_from_slice(payload);
        Some(binary)
    })
}

/// Opens `target` and reads until the server has closed. `handle` may leave an answer in the vector given to it, and then
/// says whether it is binary.
fn drive(
    server: &Server,
    target: &str,
    mut handle: impl FnMut(&mut Vec<u8>, Message<'_>) -> Option<bool>,
) -> Result<(), String> {
    let mut config = NetConfig::new(&TlsRoots::default()).unwrap();
    config.ws.text_check = TextCheck::Strict;
    config.ws.out_bytes_max = 64 * 1024 * 1024;
    let url = Url::parse(&format!("ws://{}{target}", server.addr)).unwrap();
    let mut link = WsLink::open(server.addr, &url, &config, fastrand::u64(..)).unwrap();
    let mut poll = Poll::new().unwrap();
    poll.registry().register(link.source(), Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
    let mut events = Events::with_capacity(8);
    let mut answer = Vec::new();
    let deadline = Instant::now() + CASE_TIME_MAX;
    while link.state() != LinkState::Closed {
        if Instant::now() > deadline {
            return Err(format!("not closed after {CASE_TIME_MAX:?}, in state {:?}", link.state()));
        }
        poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
        for event in &events {
            link.ready(event.is_readable(), event.is_writable(), event.is_read_closed())
                .map_err(|error| error.to_string())?;
        }
        let mut more = true;
        while more {
            loop {
                match link.next() {
                    Ok(Some(message)) => {
                        if let Some(binary) = handle(&mut answer, message) {
                            let sent = if binary { link.send_binary(&answer) } else { link.send_text(&answer) };
                            sent.map_err(|error| error.to_string())?;
                        }
                    }
                    Ok(None) => break,
                    // Provoked by the suite. The link has told the server; what follows is the end of the connection.
                    Err(_) => {}
                }
            }
            // Some cases cut the connection, which is judged by the suite and not here.
            more = link.fill().is_ok_and(|fill| fill.maybe_more || fill.bytes > 0);
        }
    }
    Ok(())
}
