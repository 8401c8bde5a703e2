//! Every contender against a small sender: the same tops and the same books as a plain model, in the clear and over
//! TLS, spinning and sleeping, with one stream on one socket and with four on two.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::barter::Barter;
use super::boomnet::Boomnet;
#[cfg(feature = "ccxt-pro")]
use super::ccxt_pro::CcxtPro;
use super::common::Levels;
use super::fastwebsockets::FastWebsockets;
use super::mio_tungstenite::MioTungstenite;
use super::tokio_tungstenite::TokioTungstenite;
use crate::contender::{Contender, Observer, Target, Top, Waiting};

const FRAMES: u64 = 200;

#[test]
fn tokio_tungstenite() {
    check(TokioTungstenite::default);
}

#[test]
fn fastwebsockets() {
    check(FastWebsockets::default);
}

#[test]
fn mio_tungstenite() {
    check(MioTungstenite::new);
}

#[test]
fn mio_tungstenite_tuned() {
    check(MioTungstenite::tuned);
}

#[test]
fn boomnet() {
    check(Boomnet::new);
}

#[test]
fn boomnet_simd() {
    check(Boomnet::simd);
}

#[test]
fn barter() {
    check(Barter::default);
}

#[cfg(feature = "ccxt-pro")]
#[test]
fn ccxt_pro() {
    let all = || {
        for (streams, waiting) in [(1, Waiting::Spin), (1, Waiting::Sleep), (3, Waiting::Spin)] {
            check_case(&mut CcxtPro::default(), false, streams, 1, waiting);
        }
        let sender = TestSender::start(true, 1, 1, None);
        let run = CcxtPro::default().run(&sender.target, Waiting::Spin, &mut Collect::of(&sender));
        assert!(run.unwrap_err().contains("without TLS"));
    };
    // Without optimisation its functions overflow the 2 MiB that a test has.
    std::thread::Builder::new().stack_size(32 << 20).spawn(all).unwrap().join().unwrap();
}

#[test]
fn a_gap_ends_a_run() {
    fn fails<C: Contender>(mut contender: C) {
        let sender = TestSender::start(false, 1, 1, Some(100));
        let mut observer = Collect::of(&sender);
        let error = contender.run(&sender.target, Waiting::Spin, &mut observer).unwrap_err();
        assert!(error.contains("missing") || error.contains("sequence"), "{error}");
        assert_eq!(observer.seen.len(), 100);
    }
    fails(TokioTungstenite::default());
    fails(MioTungstenite::new());
    fails(Boomnet::new());
}

/// Runs a contender in every way.
fn check<C: Contender>(contender: impl Fn() -> C) {
    for (tls, streams, sockets) in [(false, 1, 1), (true, 1, 1), (true, 4, 2)] {
        for waiting in [Waiting::Spin, Waiting::Sleep] {
            check_case(&mut contender(), tls, streams, sockets, waiting);
        }
    }
}

/// Runs a contender and compares what it saw with the model.
fn check_case(contender: &mut dyn Contender, tls: bool, streams: u32, sockets: u32, waiting: Waiting) {
    let sender = TestSender::start(tls, streams, sockets, None);
    let mut observer = Collect::of(&sender);
    let case = format!("tls {tls}, {streams} streams, {waiting:?}");
    contender.run(&sender.target, waiting, &mut observer).unwrap_or_else(|error| panic!("{case}: {error}"));
    for stream in 0..streams {
        let mut model = Model::new(stream);
        let expected: Vec<(u64, Top)> = (1..=FRAMES).map(|n| model.advance(n)).collect();
        assert_eq!(observer.of_stream(stream), expected, "{case}");
        assert_eq!(contender.book(stream), model.levels(), "{case}");
    }
}

/// Remembers everything, and has had enough when all messages were seen.
struct Collect {
    go: Sender<()>,
    sockets: u32,
    wanted: usize,
    seen: Vec<(u32, u64, Top)>,
}

impl Collect {
    fn of(sender: &TestSender) -> Collect {
        let wanted = FRAMES as usize * sender.target.streams as usize;
        Collect { go: sender.go.clone(), sockets: sender.target.sockets, wanted, seen: Vec::new() }
    }

    fn of_stream(&self, stream: u32) -> Vec<(u64, Top)> {
        self.seen.iter().filter(|seen| seen.0 == stream).map(|&(_, id, top)| (id, top)).collect()
    }
}

impl Observer for Collect {
    fn on_ready(&mut self) {
        for _ in 0..self.sockets {
            self.go.send(()).unwrap();
        }
    }

    fn on_top(&mut self, stream: u32, last_update_id: u64, top: Top) -> bool {
        self.seen.push((stream, last_update_id, top));
        self.seen.len() < self.wanted
    }
}

/// A market that is different for each stream, and its true book.
struct Model {
    stream: u32,
    last_update_id: u64,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

const TICK: i64 = 1_000_000;

impl Model {
    fn new(stream: u32) -> Model {
        let mid = 30_000 + 100 * i64::from(stream);
        let bids = (1..=50).map(|n| ((mid - n) * TICK, n * 12_345_678)).collect();
        let asks = (1..=50).map(|n| ((mid + n) * TICK, n * 87_654_321)).collect();
        Model { stream, last_update_id: 1000, bids, asks }
    }

    fn snapshot(&self) -> String {
        let bids = text(self.bids.iter().rev());
        let asks = text(self.asks.iter());
        format!(r#"{{"lastUpdateId":{},"bids":[{bids}],"asks":[{asks}]}}"#, self.last_update_id)
    }

    /// The changes of message `n`: a new best bid or ask at times, and removals of the best.
    fn changes(&self, n: u64) -> (Vec<(i64, i64)>, Vec<(i64, i64)>) {
        let amount = (n as i64 % 7) * 1_000_001;
        let best_bid = *self.bids.last_key_value().unwrap().0;
        let best_ask = *self.asks.first_key_value().unwrap().0;
        match n % 4 {
            0 => (vec![(best_bid, 0), (best_bid - 3 * TICK, amount)], vec![]),
            1 => (vec![(best_bid, amount + 1)], vec![(best_ask, amount + 2), (best_ask + 70 * TICK, amount + 3)]),
            2 => (vec![], vec![(best_ask, 0), (best_ask + 5 * TICK, amount)]),
            _ => (vec![(best_bid + TICK / 8, n as i64)], vec![(best_ask - TICK / 8, n as i64 + 5)]),
        }
    }

    fn apply(&mut self, n: u64) -> (u64, String) {
        let (bids, asks) = self.changes(n);
        let first = self.last_update_id + 1;
        self.last_update_id += n % 3 + 1;
        for (side, changes) in [(&mut self.bids, &bids), (&mut self.asks, &asks)] {
            for &(price, amount) in changes {
                if amount == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, amount);
                }
            }
        }
        let (stream, last) = (self.stream, self.last_update_id);
        let pairs = |levels: &[(i64, i64)]| text(levels.iter().map(|(price, amount)| (price, amount)));
        let frame = format!(
            r#"{{"stream":"s{stream}@depth@100ms","data":{{"e":"depthUpdate","E":1700000000{n:03},"s":"S{stream}","U":{first},"u":{last},"b":[{}],"a":[{}]}}}}"#,
            pairs(&bids),
            pairs(&asks)
        );
        (last, frame)
    }

    fn advance(&mut self, n: u64) -> (u64, Top) {
        let (last, _) = self.apply(n);
        let (&bid, &bid_amount) = self.bids.last_key_value().unwrap();
        let (&ask, &ask_amount) = self.asks.first_key_value().unwrap();
        (last, Top { bid, bid_amount, ask, ask_amount })
    }

    fn levels(&self) -> (Levels, Levels) {
        let bids = self.bids.iter().rev().map(|(&price, &amount)| (price, amount)).collect();
        (bids, self.asks.iter().map(|(&price, &amount)| (price, amount)).collect())
    }
}

fn text<'a>(levels: impl Iterator<Item = (&'a i64, &'a i64)>) -> String {
    // Fewer decimals than eight, as the venue writes them.
    let price = |mantissa: &i64| format!("{}.{:05}", mantissa / 100_000_000, mantissa % 100_000_000 / 1000);
    let amount = |mantissa: &i64| format!("{}.{:08}", mantissa / 100_000_000, mantissa % 100_000_000);
    let levels: Vec<String> = levels.map(|(p, a)| format!(r#"["{}","{}"]"#, price(p), amount(a))).collect();
    levels.join(",")
}

/// Serves snapshots and sockets; sends as soon as it is told to go.
struct TestSender {
    target: Target,
    go: Sender<()>,
    ca: PathBuf,
}

impl Drop for TestSender {
    fn drop(&mut self) {
        std::fs::remove_file(&self.ca).ok();
    }
}

impl TestSender {
    /// With `gap` the message of that number is left out.
    fn start(tls: bool, streams: u32, sockets: u32, gap: Option<u64>) -> TestSender {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("wirebook-rivals-{}-{}.pem", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let ca_path = std::env::temp_dir().join(name);
        let config = server_config(&ca_path);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (go, wait) = channel();
        let wait = Arc::new(Mutex::new(wait));
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let (tcp, config, wait) = (tcp.unwrap(), config.clone(), wait.clone());
                tcp.set_nodelay(true).unwrap();
                // A contender that has had enough closes while there is more to send; that is no error here.
                std::thread::spawn(move || {
                    if tls {
                        let stream = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp);
                        serve(stream, gap, &wait).ok()
                    } else {
                        serve(tcp, gap, &wait).ok()
                    }
                });
            }
        });
        TestSender { target: Target { addr, tls, ca: ca_path.clone(), streams, sockets }, go, ca: ca_path }
    }
}

fn serve(mut stream: impl Read + Write, gap: Option<u64>, wait: &Mutex<Receiver<()>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    if let Some(query) = path.strip_prefix("/api/v3/depth?symbol=S") {
        let stream_number = query.strip_suffix("&limit=5000").unwrap().parse().unwrap();
        let body = Model::new(stream_number).snapshot();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        return stream.flush();
    }
    let wrapped = path != "/ws";
    let topics = path.strip_prefix("/stream?streams=").unwrap_or_default();
    let stream_of = |topic: &str| topic.strip_prefix('s').unwrap().strip_suffix("@depth@100ms").unwrap().parse();
    let mut topics: Vec<String> = topics.split('/').map(str::to_owned).collect();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value)
    });
    let accept = derive_accept_key(key.unwrap().as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    stream.flush()?;
    let mut ws = WebSocket::from_raw_socket(stream, Role::Server, None);
    if !wrapped {
        let request: serde_json::Value = serde_json::from_slice(&ws.read().map_err(to_io)?.into_data())?;
        topics = serde_json::from_value(request["params"].clone())?;
        let answer = format!(r#"{{"result":null,"id":{}}}"#, request["id"]);
        ws.send(Message::text(answer)).map_err(to_io)?;
    }
    let mut models: Vec<Model> = topics.iter().map(|topic| Model::new(stream_of(topic).unwrap())).collect();
    wait.lock().unwrap().recv().map_err(std::io::Error::other)?;
    for n in 1..=FRAMES {
        for model in &mut models {
            let (_, frame) = model.apply(n);
            let frame = if wrapped { frame } else { frame[frame.find(r#"{"e""#).unwrap()..frame.len() - 1].to_owned() };
            // A snapshot may lie behind what the stream begins with, as at the venue.
            if n == 1 && wrapped {
                let old = r#"{"stream":"x","data":{"e":"depthUpdate","E":1,"s":"S0","U":990,"u":1000,"b":[],"a":[]}}"#;
                ws.write(Message::text(old.replace("S0", &format!("S{}", model.stream)))).map_err(to_io)?;
            }
            if gap != Some(n - 1) {
                ws.write(Message::text(frame)).map_err(to_io)?;
            }
        }
        // The first half comes in one piece, in records of the greatest size.
        if n > FRAMES / 2 && n % 3 != 0 {
            ws.flush().map_err(to_io)?;
        }
        if n > FRAMES / 2 && n % 20 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    ws.flush().map_err(to_io)?;
    // Until the contender closes.
    while ws.read().is_ok() {}
    Ok(())
}

fn to_io(error: tungstenite::Error) -> std::io::Error {
    std::io::Error::other(error)
}

/// An authority of its own, written to `ca_path`, and a certificate that it signed.
fn server_config(ca_path: &std::path::Path) -> Arc<ServerConfig> {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(ca_path, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let cert = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}
