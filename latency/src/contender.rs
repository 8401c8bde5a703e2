//! What a contender has to do: keep a true book from the frames of one stream, and show its top after every message.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the sender listens, and how its stream is to be reached.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Address on 127.0.0.1. REST and WebSocket are served on the same port.
    pub(crate) addr: SocketAddr,
    /// `wss` and `https` if true, `ws` and `http` otherwise.
    pub(crate) tls: bool,
    /// Certificate of the authority that signed the sender's certificate (for `localhost` and `127.0.0.1`), PEM.
    pub(crate) ca: PathBuf,
    /// How many streams there are, each with a book of its own. Stream `n` is of the market `Sn` (`S0`, `S1` ..).
    pub(crate) streams: u32,
    /// Over how many sockets the streams are spread: stream `n` comes on socket `n % sockets`.
    pub(crate) sockets: u32,
}

impl Target {
    /// The stream's URL: `wss://localhost:port/stream?streams=s0@depth@100ms`.
    pub(crate) fn stream_url(&self, socket: u32) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let topics: Vec<String> = (socket..self.streams)
            .step_by(self.sockets.max(1) as usize)
            .map(|stream| format!("s{stream}@depth@100ms"))
            .collect();
        format!("{scheme}://localhost:{}/stream?streams={}", self.addr.port(), topics.join("/"))
    }
}

/// Prices and amounts of a side at eight decimals, best first.
pub(crate) type Levels = Vec<(i64, i64)>;

/// Best bid and ask after a message, as mantissas at eight decimals; zeros where a side is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Top {
    /// Best bid.
    pub(crate) bid: i64,
    /// What is offered there.
    pub(crate) bid_amount: i64,
    /// Best ask.
    pub(crate) ask: i64,
    /// What is offered there.
    pub(crate) ask_amount: i64,
}

/// Told after every message, when the book is up to date and its top has been read.
pub(crate) trait Observer {
    /// To be called once when the contender is connected and about to read: the sender stays silent until all sockets
    /// are there and this was called. It then sends some messages slowly, until all books have been seen, before what
    /// counts.
    fn on_ready(&mut self);

    /// `last_update_id` is the message's `u`, which also says when it was sent: the sender keeps the time of each in
    /// memory that both sides see. False when the run is over.
    fn on_top(&mut self, stream: u32, last_update_id: u64, top: Top) -> bool;
}

/// How a contender waits for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Never sleeps.
    Spin,
    /// Sleeps in the kernel until there is something to read.
    Sleep,
}

/// One way to get from the wire to a book.
pub(crate) trait Contender {
    /// Connects, and observes messages until the observer has had enough or the sender closes.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn run(&mut self, target: &Target, waiting: Waiting, observer: &mut dyn Observer) -> Result<(), String>;

    /// Every level of the book of a stream at the end, `(price, amount)` at eight decimals, best first.
    fn book(&self, stream: u32) -> (Levels, Levels);

    /// Further times that it measured itself, by name, in nanoseconds, one for each message or whatever the name says.
    /// Taken after the run; most contenders have none.
    fn samples(&self) -> Vec<(&'static str, Vec<u64>)> {
        Vec::new()
    }
}
