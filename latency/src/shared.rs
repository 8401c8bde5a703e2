//! Memory that sender and receiver share: when each message was sent, what is true after it, and a few flags.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::contender::Top;
use crate::sys::SharedWords;

/// The update id of message 0; what it is about is real Binance's numbers, which have twelve digits.
pub(crate) const FIRST_ID: u64 = 600_859_604_843;

/// Marks a file that is one of ours.
const MAGIC: u64 = 0x77_6972_6562_6f6f;

/// One flag or number. Those that change while messages flow would lie on lines of their own; none does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    Magic,
    /// Messages that fit.
    Capacity,
    /// Books there are.
    Streams,
    /// Where the sender listens; 0 until it does.
    Port,
    /// The receiver is connected and reads.
    Ready,
    /// The receiver has seen a message of every book.
    SeenAll,
    /// The first message that counts, and one past the last; 0 until the sender has decided.
    Begin,
    End,
    /// The sender has written down the last truth.
    TruthKnown,
    /// The receiver needs the sender no more.
    Done,
}

const HEADER_WORDS: usize = 64;
/// Per message: time sent, stream, top.
const MESSAGE_ARRAYS: usize = 6;

/// The shared memory. Both sides may call everything; who writes what is said at each method.
#[derive(Debug)]
pub(crate) struct Shared {
    words: SharedWords,
    capacity: usize,
    streams: usize,
}

impl Shared {
    /// Makes the file; for whoever starts both sides.
    pub(crate) fn create(path: &Path, capacity: usize, streams: usize) -> io::Result<Shared> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let len = Shared::words_for(capacity, streams);
        file.set_len(len as u64 * 8)?;
        let shared = Shared { words: SharedWords::map(&file, len)?, capacity, streams };
        shared.set(Word::Capacity, capacity as u64);
        shared.set(Word::Streams, streams as u64);
        shared.set(Word::Magic, MAGIC);
        Ok(shared)
    }

    /// Opens a file that was made before.
    pub(crate) fn open(path: &Path) -> io::Result<Shared> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let header = SharedWords::map(&file, HEADER_WORDS)?;
        let word = |word: Word| header.words()[word as usize].load(Acquire);
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "not a shared file of this program");
        if word(Word::Magic) != MAGIC {
            return Err(foreign());
        }
        let (capacity, streams) = (word(Word::Capacity) as usize, word(Word::Streams) as usize);
        if capacity > 1 << 32 || streams > 1 << 32 {
            return Err(foreign());
        }
        Ok(Shared { words: SharedWords::map(&file, Shared::words_for(capacity, streams))?, capacity, streams })
    }

    fn words_for(capacity: usize, streams: usize) -> usize {
        HEADER_WORDS + MESSAGE_ARRAYS * capacity + streams
    }

    /// Messages that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Books there are.
    pub(crate) fn streams(&self) -> usize {
        self.streams
    }

    #[inline]
    pub(crate) fn word(&self, word: Word) -> u64 {
        self.words.words()[word as usize].load(Acquire)
    }

    /// Everything written before is seen by whoever sees this.
    pub(crate) fn set(&self, word: Word, value: u64) {
        self.words.words()[word as usize].store(value, Release);
    }

    fn at(&self, array: usize, message: usize) -> &std::sync::atomic::AtomicU64 {
        &self.words.words()[HEADER_WORDS + array * self.capacity + message]
    }

    /// By the sender, just before the write.
    #[inline]
    pub(crate) fn set_sent(&self, message: usize, ns: u64) {
        self.at(0, message).store(ns, Relaxed);
    }

    /// When a message was sent; 0 if it was not.
    pub(crate) fn sent(&self, message: usize) -> u64 {
        self.at(0, message).load(Relaxed)
    }

    /// By the sender, before anything is sent: to which stream a message belongs, and what is true after it.
    pub(crate) fn set_truth(&self, message: usize, stream: u32, top: Top) {
        let values = [u64::from(stream), top.bid as u64, top.bid_amount as u64, top.ask as u64, top.ask_amount as u64];
        for (array, value) in values.into_iter().enumerate() {
            self.at(array + 1, message).store(value, Relaxed);
        }
    }

    /// The stream of a message, and the true top after it.
    pub(crate) fn truth(&self, message: usize) -> (u32, Top) {
        let value = |array: usize| self.at(array, message).load(Relaxed);
        let top = Top {
            bid: value(2) as i64,
            bid_amount: value(3) as i64,
            ask: value(4) as i64,
            ask_amount: value(5) as i64,
        };
        (value(1) as u32, top)
    }

    /// By the sender, at the end: the digest of a stream's true book.
    pub(crate) fn set_book(&self, stream: usize, digest: u64) {
        self.words.words()[HEADER_WORDS + MESSAGE_ARRAYS * self.capacity + stream].store(digest, Relaxed);
    }

    /// The digest of a stream's true book at the end.
    pub(crate) fn book(&self, stream: usize) -> u64 {
        self.words.words()[HEADER_WORDS + MESSAGE_ARRAYS * self.capacity + stream].load(Relaxed)
    }
}

/// A number that two books share only if they hold the same levels in the same order.
pub(crate) fn digest(bids: &[(i64, i64)], asks: &[(i64, i64)]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut take = |value: u64| {
        state = (state ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 32;
    };
    for side in [bids, asks] {
        take(side.len() as u64);
        for (price, amount) in side {
            take(*price as u64);
            take(*amount as u64);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_openings_see_the_same_memory() {
        let path = std::env::temp_dir().join(format!("wirebook-latency-shared-{}", std::process::id()));
        let ours = Shared::create(&path, 10, 3).unwrap();
        let theirs = Shared::open(&path).unwrap();
        assert_eq!((theirs.capacity(), theirs.streams()), (10, 3));
        let top = Top { bid: 1, bid_amount: -2, ask: 3, ask_amount: i64::MAX };
        ours.set_sent(9, 77);
        ours.set_truth(9, 2, top);
        ours.set_book(2, 5);
        ours.set(Word::End, 4);
        assert_eq!((theirs.sent(9), theirs.truth(9), theirs.book(2), theirs.word(Word::End)), (77, (2, top), 5, 4));
        assert_eq!((theirs.sent(8), theirs.truth(8), theirs.book(1)), (0, (0, Top::default()), 0));
        theirs.set(Word::Ready, 1);
        assert_eq!(ours.word(Word::Ready), 1);
        std::fs::write(&path, vec![0; 4096]).unwrap();
        assert_eq!(Shared::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn digests_tell_books_apart() {
        let (a, b) = ([(1, 2), (3, 4)], [(5, 6)]);
        assert_eq!(digest(&a, &b), digest(&a, &b));
        for (bids, asks) in [(&a[..1], &b[..]), (&b, &a), (&a, &[]), (&[(3, 4), (1, 2)], &b), (&[(1, 2), (3, 5)], &b)] {
            assert_ne!(digest(bids, asks), digest(&a, &b));
        }
    }
}
