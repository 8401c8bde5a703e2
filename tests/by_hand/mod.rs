//! A loopback venue driven by hand: one client, no sockets, and a time of its own.

use serde_json::Value;
use wirebook::sim::faults::Script;
use wirebook::sim::venue::{ConnId, Venue};
use wirebook::sim::wire::Out;
use wirebook::sim::{Config, VenueKind};

pub const START: u64 = 1_700_000_000_000_000_000;
pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;

pub struct Run {
    pub venue: Venue,
    pub now: u64,
    pub conn: ConnId,
    /// What came that was no text.
    pub said: Vec<Out>,
}

impl Run {
    /// A client at a path of a venue with three symbols of 20 levels.
    pub fn new(kind: VenueKind, path: &str, script: &str) -> Run {
        Run::with(kind, path, |config| {
            config.levels = 20;
            config.script = Script::parse(script).unwrap();
        })
    }

    pub fn with(kind: VenueKind, path: &str, change: impl FnOnce(&mut Config)) -> Run {
        let mut config = Config::new(kind).with_symbols(3);
        change(&mut config);
        let mut venue = Venue::new(&config, START);
        let conn = venue.connect(START, path).unwrap();
        Run { venue, now: START, conn, said: Vec::new() }
    }

    /// Sends a text and gives what the venue says at once.
    pub fn ask(&mut self, text: &str) -> Vec<String> {
        self.venue.text(self.now, self.conn, text);
        self.collect()
    }

    /// Lets time pass and gives what the venue said.
    pub fn run(&mut self, for_ns: u64) -> Vec<String> {
        self.now += for_ns;
        let mut texts = Vec::new();
        while self.venue.next_deadline().unwrap() <= self.now {
            self.venue.advance(self.now);
            texts.extend(self.collect());
        }
        texts
    }

    pub fn collect(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some((conn, out)) = self.venue.pop() {
            assert_eq!(conn, self.conn);
            match out {
                Out::Text(text) => texts.push(text),
                other => self.said.push(other),
            }
        }
        texts
    }

    /// The body of a REST answer with status 200.
    pub fn get(&mut self, target: &str) -> Value {
        let reply = self.venue.http(self.now, "GET", target, &[]);
        assert_eq!(reply.status, 200, "{target}: {}", reply.body);
        parsed(&reply.body)
    }
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The members of an object, sorted.
pub fn keys(value: &Value) -> String {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

/// CRC-32 bit by bit, as a judge of the quick one.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
