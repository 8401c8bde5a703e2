//! The receiver: one contender in a process of its own, and what it is measured with.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wirebook::sys::thread::{self, RealTimeGuard};

use crate::contender::{Observer, Target, Top, Waiting};
use crate::contenders::{Entry, Kind};
use crate::load::Load;
use crate::proc::{FIFO_PRIORITY, run_delay_ns};
use crate::shared::{FIRST_ID, Shared, Word, digest};
use crate::sys::{allocations, cpu_ns, now_ns, ordinary_priority};

/// What the receiver is told.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) load: Load,
    /// Messages that count.
    pub(crate) messages: usize,
    pub(crate) waiting: Waiting,
    pub(crate) core: Option<usize>,
    pub(crate) fifo: bool,
    pub(crate) shared: PathBuf,
    pub(crate) ca: PathBuf,
    /// Where the latency of each message goes, eight bytes each, least significant first.
    pub(crate) latencies: PathBuf,
}

/// What it has to say afterwards.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Received {
    /// Messages that count and were seen.
    pub(crate) seen: usize,
    /// All messages of the run, with those before.
    pub(crate) total: usize,
    /// Messages after the one at which counting began.
    pub(crate) counted: usize,
    /// What was not as it should be, the first of it; the run counts for nothing.
    pub(crate) wrong: Vec<String>,
    /// CPU time of the process while it counted.
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    pub(crate) took_ns: u64,
    /// Of the thread that read.
    pub(crate) allocations: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) run_delay_ns: u64,
    /// What the contender measured itself.
    pub(crate) samples: Vec<(String, Vec<u64>)>,
}

/// The latency of a message that was not seen.
pub(crate) const MISSED: u64 = u64::MAX;

/// The sender's truth comes right after its last message.
const TRUTH_MAX: Duration = Duration::from_secs(10);
/// A receiver in trouble says so about so many messages.
const WRONG_MAX: usize = 5;

/// Runs a contender against a sender that listens already.
pub(crate) fn run(entry: &Entry, order: &Order) -> Result<Received, String> {
    if let Some(core) = order.core {
        thread::pin_to_core(core).map_err(|failure| failure.to_string())?;
    }
    let shared = Shared::open(&order.shared).map_err(|error| format!("the shared file: {error}"))?;
    let port = u16::try_from(shared.word(Word::Port)).map_err(|_| "the sender does not listen")?;
    let target = Target {
        addr: ([127, 0, 0, 1], port).into(),
        tls: order.load.tls,
        ca: order.ca.clone(),
        streams: order.load.streams,
        sockets: order.load.sockets,
    };
    let mut contender = (entry.make)();
    let mut recorder = Recorder::new(&shared, order);
    let outcome = contender.run(&target, order.waiting, &mut recorder);
    if order.fifo {
        ordinary_priority();
    }
    let result = outcome.and_then(|()| recorder.finish(&order.latencies, entry.kind == Kind::Floor));
    let result = result.map(|mut received| {
        if entry.kind != Kind::Floor {
            for stream in 0..order.load.streams {
                let (bids, asks) = contender.book(stream);
                if digest(&bids, &asks) != shared.book(stream as usize) {
                    received.wrong.push(format!(
                        "the last book of stream {stream} is not the true one: {} bids, {} asks, best {:?} and {:?}",
                        bids.len(),
                        asks.len(),
                        bids.first(),
                        asks.first()
                    ));
                    received.wrong.truncate(WRONG_MAX);
                }
            }
        }
        received.samples = contender.samples().into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
        received
    });
    shared.set(Word::Done, 1);
    result
}

/// Where a process stands.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    at_ns: u64,
    user_ns: u64,
    system_ns: u64,
    allocations: u64,
    bytes: u64,
    run_delay_ns: u64,
}

impl Standing {
    fn now() -> Standing {
        let run_delay_ns = run_delay_ns();
        let ((user_ns, system_ns), (allocations, bytes)) = (cpu_ns(), allocations());
        Standing { at_ns: now_ns(), user_ns, system_ns, allocations, bytes, run_delay_ns }
    }
}

/// What a message left: when its top had been read, and what it was.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at_ns: u64,
    stream: u32,
    top: Top,
}

/// One read of the clock and one store per message; everything else comes afterwards.
struct Recorder<'a> {
    shared: &'a Shared,
    fifo_us: Option<u64>,
    messages: Vec<Seen>,
    heard_of: Vec<bool>,
    /// Books that were not heard of yet.
    unheard: usize,
    before: Standing,
    after: Option<Standing>,
}

impl<'a> Recorder<'a> {
    fn new(shared: &'a Shared, order: &Order) -> Recorder<'a> {
        let group_ns = order.load.interval_ns() / order.load.group() as u64;
        let fifo_us = order.fifo.then(|| order.messages as u64 * group_ns / 500 + 3_000_000);
        let mut messages = vec![Seen::default(); shared.capacity()];
        // Written to once, so that no page is missing later.
        messages.fill(Seen { at_ns: 0, stream: u32::MAX, top: Top::default() });
        let streams = order.load.streams as usize;
        Recorder {
            shared,
            fifo_us,
            messages,
            heard_of: vec![false; streams],
            unheard: streams,
            before: Standing::default(),
            after: None,
        }
    }

    #[cold]
    fn warm(&mut self, stream: u32) {
        if let Some(heard) = self.heard_of.get_mut(stream as usize)
            && !std::mem::replace(heard, true)
        {
            self.unheard -= 1;
        }
        if self.unheard == 0 {
            if let Some(us) = self.fifo_us
                && let Err(failure) = thread::real_time(FIFO_PRIORITY, RealTimeGuard::EndAfterUs(us))
            {
                eprintln!("{failure}");
            }
            self.before = Standing::now();
            self.shared.set(Word::SeenAll, 1);
            counting_begins();
        }
    }

    #[cold]
    fn end(&mut self) -> bool {
        if self.after.is_none() {
            counting_ends();
            self.after = Some(Standing::now());
        }
        false
    }

    fn finish(self, latencies: &Path, is_floor: bool) -> Result<Received, String> {
        let (begin, end) = (self.shared.word(Word::Begin) as usize, self.shared.word(Word::End) as usize);
        let Some(after) = self.after else { return Err("it stopped before the last message".into()) };
        let deadline = now_ns() + TRUTH_MAX.as_nanos() as u64;
        while self.shared.word(Word::TruthKnown) == 0 {
            if now_ns() > deadline {
                return Err("the sender did not say what is true".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let before = self.before;
        let mut received = Received {
            total: end,
            counted: self.messages.iter().filter(|seen| seen.at_ns > before.at_ns).count(),
            // The kernel splits the sum of both by ticks, which may move back a little.
            user_ns: after.user_ns.saturating_sub(before.user_ns),
            system_ns: after.system_ns.saturating_sub(before.system_ns),
            took_ns: after.at_ns - before.at_ns,
            allocations: after.allocations - before.allocations,
            allocated_bytes: after.bytes - before.bytes,
            run_delay_ns: after.run_delay_ns - before.run_delay_ns,
            ..Received::default()
        };
        let mut bytes = Vec::with_capacity((end - begin) * 8);
        for at in begin..end {
            let seen = &self.messages[at];
            let latency = if seen.at_ns == 0 { MISSED } else { seen.at_ns.saturating_sub(self.shared.sent(at)) };
            bytes.extend_from_slice(&latency.to_le_bytes());
            received.seen += usize::from(seen.at_ns != 0);
            let truth = self.shared.truth(at);
            let wrong = if seen.at_ns == 0 {
                format!("message {at} was not seen")
            } else if is_floor || (seen.stream, seen.top) == truth {
                continue;
            } else {
                format!(
                    "after message {at}: stream {} had {:?}, true is {} with {:?}",
                    seen.stream, seen.top, truth.0, truth.1
                )
            };
            if received.wrong.len() < WRONG_MAX {
                received.wrong.push(wrong);
            }
        }
        let mut file = std::fs::File::create(latencies).map_err(|error| format!("{}: {error}", latencies.display()))?;
        file.write_all(&bytes).map_err(|error| format!("{}: {error}", latencies.display()))?;
        Ok(received)
    }
}

/// Marks for callgrind, which is told to count from the one to the other.
#[inline(never)]
fn counting_begins() {
    std::hint::black_box(());
}

#[inline(never)]
fn counting_ends() {
    std::hint::black_box(1);
}

impl Observer for Recorder<'_> {
    fn on_ready(&mut self) {
        self.shared.set(Word::Ready, 1);
    }

    #[inline]
    fn on_top(&mut self, stream: u32, last_update_id: u64, top: Top) -> bool {
        let at_ns = now_ns();
        let at = last_update_id.wrapping_sub(FIRST_ID) as usize;
        // A book may be shown as the snapshot left it, before any message.
        let Some(seen) = self.messages.get_mut(at) else { return self.after.is_none() };
        *seen = Seen { at_ns, stream, top };
        if self.unheard > 0 {
            self.warm(stream);
        }
        // 0 as long as the sender has not decided.
        if at as u64 + 1 == self.shared.word(Word::End) { self.end() } else { self.after.is_none() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: Top = Top { bid: 1, bid_amount: 2, ask: 3, ask_amount: 4 };

    /// Two streams in turn, four messages of which the last two count; what the receiver sees after each is given.
    fn observed(name: &str, seen: &[(u64, u32, Top)]) -> (Result<Received, String>, Vec<bool>, Vec<u64>) {
        let directory = crate::pair::Scratch::new(name).unwrap();
        let shared = Shared::create(&directory.path("shared"), 4, 2).unwrap();
        for at in 0..4 {
            shared.set_truth(at, at as u32 % 2, TOP);
            shared.set_sent(at, 1);
        }
        shared.set(Word::TruthKnown, 1);
        let order = Order {
            load: "plain-1k-2x1".parse().unwrap(),
            messages: 2,
            waiting: Waiting::Spin,
            core: None,
            fifo: false,
            shared: directory.path("shared"),
            ca: directory.path("ca"),
            latencies: directory.path("latencies"),
        };
        let mut recorder = Recorder::new(&shared, &order);
        recorder.on_ready();
        let mut answers = Vec::new();
        for (at, stream, top) in seen {
            answers.push(recorder.on_top(*stream, FIRST_ID.wrapping_add(*at), *top));
            if shared.word(Word::SeenAll) == 1 {
                shared.set(Word::Begin, 2);
                shared.set(Word::End, 4);
            }
        }
        let received = recorder.finish(&order.latencies, false);
        let bytes = std::fs::read(&order.latencies).unwrap_or_default();
        (received, answers, bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    #[test]
    fn what_is_true_counts() {
        let before = u64::MAX;
        let all = [(before, 0, TOP), (0, 0, TOP), (1, 1, TOP), (2, 0, TOP), (3, 1, TOP)];
        let (received, answers, latencies) = observed("true", &all);
        let received = received.unwrap();
        assert_eq!(received.wrong, Vec::<String>::new());
        assert_eq!((received.seen, received.total, received.counted, received.allocations), (2, 4, 2, 0));
        assert_eq!(answers, [true, true, true, true, false]);
        assert!(latencies.len() == 2 && latencies.iter().all(|ns| *ns > 1 && *ns != MISSED), "{latencies:?}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let other = Top { ask_amount: 5, ..TOP };
        let (received, ..) = observed("top", &[(0, 0, TOP), (1, 1, TOP), (2, 0, other), (3, 1, TOP)]);
        let wrong = received.unwrap().wrong;
        assert!(wrong.len() == 1 && wrong[0].starts_with("after message 2: stream 0 had Top"), "{wrong:?}");
        let (received, ..) = observed("stream", &[(0, 0, TOP), (1, 1, TOP), (2, 1, TOP), (3, 1, TOP)]);
        assert_eq!(received.unwrap().wrong.len(), 1);
        let (received, _, latencies) = observed("missed", &[(0, 0, TOP), (1, 1, TOP), (3, 1, TOP)]);
        assert_eq!((received.unwrap().wrong, latencies[0]), (vec!["message 2 was not seen".to_owned()], MISSED));
        let (received, ..) = observed("short", &[(0, 0, TOP), (1, 1, TOP), (2, 0, TOP)]);
        assert_eq!(received.unwrap_err(), "it stopped before the last message");
    }
}
