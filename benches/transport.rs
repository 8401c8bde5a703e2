//! WebSocket frames and TLS records, in and out, without system calls.

use std::rc::Rc;

use wirebook::net::buf::OutBuf;
use wirebook::net::tls::Tls;
use wirebook::net::ws::{TextCheck, Ws, WsLimits};
use wirebook::sys::clock::Clock;

use crate::common::frames::Frames;
use crate::common::tls::{Server, frame};
use crate::common::{Case, Contender, Contenders};

/// The cases. wirebook is alone in them: what others pay stands in `stack`.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in [100, 300, 1_000, 5_000] {
        cases.push(Case::new(format!("transport/ws-trusted-{len}"), 2_000, move |units| {
            Contenders::new(len as f64).with("wirebook", move || ReadFrames::new(units, len, TextCheck::Trusted))
        }));
        cases.push(Case::new(format!("transport/ws-strict-{len}"), 2_000, move |units| {
            Contenders::new(len as f64).with("wirebook", move || ReadFrames::new(units, len, TextCheck::Strict))
        }));
        cases.push(Case::new(format!("transport/tls-ws-{len}"), 2_000, move |units| {
            Contenders::new(len as f64).with("wirebook", move || ReadRecords::new(units, len))
        }));
        cases.push(Case::new(format!("transport/send-ws-{len}"), 2_000, move |_| {
            Contenders::new(len as f64).with("wirebook", move || Send {
                ws: ws(TextCheck::Trusted),
                text: text(len),
                tls: None,
            })
        }));
        cases.push(Case::new(format!("transport/send-ws-tls-{len}"), 2_000, move |_| {
            Contenders::new(len as f64).with("wirebook", move || Send {
                ws: ws(TextCheck::Trusted),
                text: text(len),
                tls: Some(Server::new().connect()),
            })
        }));
    }
    cases.push(Case::new("transport/clock", 2_000, |_| Contenders::new(0.0).with("wirebook", || Now(Clock::start()))));
    cases
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| b' ' + (i % 90) as u8).collect()
}

fn ws(text_check: TextCheck) -> Ws {
    Ws::new(WsLimits { text_check, ..WsLimits::default() }, 1)
}

/// How many messages there are.
fn drain(ws: &mut Ws) -> i64 {
    let mut n = 0;
    while let Ok(Some(message)) = ws.next() {
        std::hint::black_box(&message);
        n += 1;
    }
    n
}

struct ReadFrames {
    frames: Frames,
    ws: Ws,
}

impl ReadFrames {
    fn new(units: usize, len: usize, check: TextCheck) -> ReadFrames {
        let mut frames = Frames::default();
        (0..units).for_each(|_| frames.push(&frame(&text(len))));
        ReadFrames { frames, ws: ws(check) }
    }
}

impl Contender for ReadFrames {
    type Outcome = i64;

    #[inline]
    fn step(&mut self, unit: usize) -> i64 {
        let frame = self.frames.at(unit);
        self.ws.spare()[..frame.len()].copy_from_slice(frame);
        self.ws.filled(frame.len());
        drain(&mut self.ws)
    }

    fn numbers(&self, outcome: i64) -> [i64; 4] {
        assert_eq!(outcome, 1, "one message a frame");
        [outcome, 0, 0, 0]
    }
}

struct ReadRecords {
    texts: Rc<Frames>,
    open: Option<(Tls, OutBuf, Frames)>,
    ws: Ws,
}

impl ReadRecords {
    fn new(units: usize, len: usize) -> ReadRecords {
        let mut texts = Frames::default();
        (0..units).for_each(|_| texts.push(&text(len)));
        ReadRecords { texts: Rc::new(texts), open: None, ws: ws(TextCheck::Trusted) }
    }
}

impl Contender for ReadRecords {
    type Outcome = i64;

    fn restart(&mut self) {
        let mut server = Server::new();
        let (tls, out) = server.connect();
        self.open = Some((tls, out, server.seal(&self.texts)));
        self.ws = ws(TextCheck::Trusted);
    }

    #[inline]
    fn step(&mut self, unit: usize) -> i64 {
        let (tls, out, records) = self.open.as_mut().expect("restarted");
        let record = records.at(unit);
        tls.cipher_spare()[..record.len()].copy_from_slice(record);
        tls.cipher_filled(record.len());
        tls.open(&mut self.ws, out).unwrap();
        drain(&mut self.ws)
    }

    fn numbers(&self, outcome: i64) -> [i64; 4] {
        assert_eq!(outcome, 1, "one message a record");
        [outcome, 0, 0, 0]
    }
}

struct Send {
    ws: Ws,
    text: Vec<u8>,
    tls: Option<(Tls, OutBuf)>,
}

impl Contender for Send {
    type Outcome = usize;

    #[inline]
    fn step(&mut self, _: usize) -> usize {
        self.ws.send_text(&self.text).unwrap();
        let plain = self.ws.out();
        let Some((tls, out)) = &mut self.tls else {
            let n = plain.len();
            plain.consume(n);
            return n;
        };
        let n = tls.seal(plain.as_slice(), out).unwrap();
        plain.consume(n);
        let n = out.len();
        out.consume(n);
        n
    }

    fn numbers(&self, outcome: usize) -> [i64; 4] {
        [outcome as i64, 0, 0, 0]
    }
}

struct Now(Clock);

impl Contender for Now {
    type Outcome = u64;

    #[inline]
    fn step(&mut self, _: usize) -> u64 {
        self.0.now().mono_ns
    }

    fn numbers(&self, _: u64) -> [i64; 4] {
        [0; 4]
    }
}
