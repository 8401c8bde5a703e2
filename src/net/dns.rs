//! Names to addresses, without the loop ever waiting.
//!
//! `getaddrinfo` blocks, so it runs on one helper thread; with it the rules of this machine hold (hosts file, search
//! domains, resolver options). A slow name server delays the lookups queued behind it, never the loop.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;

use mio::Waker;

use super::error::{NetError, detail};

/// Most lookups that may wait.
pub const LOOKUPS_MAX: usize = 256;

/// Most addresses kept for one host.
pub const ADDRESSES_MAX: usize = 64;

/// The answer to one lookup, with the tag it was asked under.
pub type Answer = (u64, Result<Vec<SocketAddr>, NetError>);

/// The helper thread and the two queues to and from it. The thread ends when this is dropped, after the lookup it is at.
#[derive(Debug)]
pub struct Resolver {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    /// Answers that needed no lookup.
    ready: VecDeque<Answer>,
}

#[derive(Debug)]
struct Question {
    host: String,
    port: u16,
    tag: u64,
}

impl Resolver {
    /// Starts the thread. `waker` is woken whenever an answer is there.
    ///
    /// # Errors
    /// [`NetError::Os`] when no thread can be had.
    pub fn start(waker: Arc<Waker>) -> Result<Self, NetError> {
        let (questions, asked) = sync_channel::<Question>(LOOKUPS_MAX);
        // As bounded as the other, because there is one answer for each question.
        let (answer, answers) = channel();
        thread::Builder::new()
            .name("wirebook-dns".to_owned())
            .spawn(move || {
                for Question { host, port, tag } in asked {
                    if answer.send((tag, look_up(&host, port))).is_err() {
                        break;
                    }
                    // When the waker is gone, so is whoever would read the answer.
                    let _ = waker.wake();
                }
            })
            .map_err(|error| NetError::Os { what: "start the DNS thread", kind: error.kind() })?;
        Ok(Self { questions, answers, ready: VecDeque::new() })
    }

    /// Asks for the addresses of `host`; [`poll`](Self::poll) answers under `tag`. An IP address is answered at once,
    /// without the thread and without waking anybody: call `poll` after this.
    ///
    /// # Errors
    /// [`NetError::Dns`] when [`LOOKUPS_MAX`] lookups wait already, or the thread is gone.
    pub fn resolve(&mut self, host: &str, port: u16, tag: u64) -> Result<(), NetError> {
        let refused = |why: &str| NetError::Dns { host: host.into(), detail: why.into() };
        if let Ok(address) = host.parse::<IpAddr>() {
            if self.ready.len() >= LOOKUPS_MAX {
                return Err(refused("too many answers wait to be read"));
            }
            self.ready.push_back((tag, Ok(vec![SocketAddr::new(address, port)])));
            return Ok(());
        }
        self.questions.try_send(Question { host: host.to_owned(), port, tag }).map_err(|error| match error {
            TrySendError::Full(_) => refused("too many lookups wait"),
            TrySendError::Disconnected(_) => refused("the DNS thread has ended"),
        })
    }

    /// The next answer, if there is one.
    pub fn poll(&mut self) -> Option<Answer> {
        self.ready.pop_front().or_else(|| self.answers.try_recv().ok())
    }
}

fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, NetError> {
    let failed = |why: &str| NetError::Dns { host: host.into(), detail: detail(why.as_bytes()) };
    match (host, port).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
            if found.is_empty() { Err(failed("the name has no address")) } else { Ok(found) }
        }
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// All addresses of one host, used in turn, IPv6 and IPv4 alternating, so that one bad address or one missing protocol
/// costs one attempt and not the connection.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    list: Vec<SocketAddr>,
    next: usize,
}

impl Addresses {
    /// The addresses in the order of use, beginning with the family that the resolver put first.
    pub fn new(found: &[SocketAddr]) -> Self {
        let mut addresses = Self::default();
        addresses.update(found);
        addresses
    }

    /// Replaces the addresses by those of a newer lookup. The turn goes on behind the address used last, if it is still
    /// among them.
    pub fn update(&mut self, found: &[SocketAddr]) {
        let last = self.last();
        let first_is_v4 = found.first().is_some_and(SocketAddr::is_ipv4);
        let mut first: Vec<SocketAddr> = Vec::new();
        let mut second: Vec<SocketAddr> = Vec::new();
        for addr in found.iter().take(ADDRESSES_MAX) {
            let family = if addr.is_ipv4() == first_is_v4 { &mut first } else { &mut second };
            if !family.contains(addr) {
                family.push(*addr);
            }
        }
        self.list.clear();
        for i in 0..first.len().max(second.len()) {
            self.list.extend(first.get(i));
            self.list.extend(second.get(i));
        }
        self.next = last.and_then(|last| self.list.iter().position(|addr| *addr == last)).map_or(0, |at| at + 1);
    }

    /// The address to try now; the next call answers the one after it. `None` only when there are none.
    #[expect(clippy::should_implement_trait, reason = "it goes round for ever, which is not what iterators are for")]
    pub fn next(&mut self) -> Option<SocketAddr> {
        if self.next >= self.list.len() {
            self.next = 0;
        }
        let addr = self.list.get(self.next).copied();
        self.next += 1;
        addr
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn last(&self) -> Option<SocketAddr> {
        self.list.get(self.next.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn addrs(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_and_turns_go_round() {
        let found = addrs(&["1.1.1.1:1", "1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1"]);
        let mut addresses = Addresses::new(&found);
        assert_eq!(addresses.len(), 4);
        let order: Vec<_> = (0..5).filter_map(|_| addresses.next()).collect();
        assert_eq!(order, addrs(&["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "3.3.3.3:1", "1.1.1.1:1"]));
    }

    #[test]
    fn a_newer_lookup_keeps_the_turn() {
        let mut addresses = Addresses::new(&addrs(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]));
        addresses.next();
        addresses.next();
        addresses.update(&addrs(&["3.3.3.3:1", "2.2.2.2:1", "4.4.4.4:1"]));
        assert_eq!(addresses.next(), Some("4.4.4.4:1".parse().unwrap()));
        addresses.update(&addrs(&["5.5.5.5:1"]));
        assert_eq!(addresses.next(), Some("5.5.5.5:1".parse().unwrap()));
        addresses.update(&[]);
        assert_eq!(addresses.next(), None);
        assert_eq!(Addresses::default().next(), None);
    }

    fn resolver() -> (mio::Poll, Resolver) {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(7)).unwrap());
        (poll, Resolver::start(waker).unwrap())
    }

    #[test]
    fn addresses_need_no_lookup() {
        let (_poll, mut resolver) = resolver();
        resolver.resolve("127.0.0.1", 80, 1).unwrap();
        resolver.resolve("::1", 443, 2).unwrap();
        assert_eq!(resolver.poll(), Some((1, Ok(addrs(&["127.0.0.1:80"])))));
        assert_eq!(resolver.poll(), Some((2, Ok(addrs(&["[::1]:443"])))));
        assert_eq!(resolver.poll(), None);
        for tag in 0..LOOKUPS_MAX as u64 {
            resolver.resolve("127.0.0.1", 80, tag).unwrap();
        }
        assert!(resolver.resolve("127.0.0.1", 80, 0).is_err());
    }

    #[test]
    fn localhost_is_looked_up_and_wakes_the_loop() {
        let (mut poll, mut resolver) = resolver();
        resolver.resolve("localhost", 8080, 9).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut events = mio::Events::with_capacity(4);
        let answer = loop {
            assert!(Instant::now() < deadline, "no answer");
            poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
            if let Some(answer) = resolver.poll() {
                break answer;
            }
        };
        assert_eq!(answer.0, 9);
        let found = answer.1.unwrap();
        assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 8080), "{found:?}");
    }

    #[test]
    fn an_impossible_name_is_an_error() {
        // The dot at the front makes it invalid without asking any server.
        let error = look_up(".invalid", 1).unwrap_err();
        assert!(matches!(&error, NetError::Dns { host, .. } if &**host == ".invalid"), "{error}");
    }
}
