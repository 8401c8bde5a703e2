//! Sockets: carries out the commands of the core with mio, TLS, WebSocket and HTTP, and hands it what comes back.
//!
//! One token per socket. Readiness is edge-triggered: a socket is read once per event unless the read filled its buffer
//! or the budget of the poll ran out; then it is on the list of those that go on in the next poll.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::core::{Command, Core, LinkDown, LinkId, RequestId, Sink};
use crate::error::{Error, ErrorKind};
use crate::model::{Mono, Stamp, Wall};
use crate::net::config::NetConfig;
use crate::net::dns::{Addresses, Resolver};
use crate::net::error::NetError;
use crate::net::http::{self, HttpLink, HttpRequest};
use crate::net::link::{LinkState, WsLink};
use crate::net::url::Url;
use crate::net::ws::Message;
use crate::sys::Failure;
use crate::sys::clock::Clock;
use crate::venue::{Method, Reply, SignedRequest};

/// Events taken from the kernel in one poll; more wait for the next one.
const EVENTS_MAX: usize = 256;
/// The waker's token: beyond any slab key.
const WAKER: Token = Token(usize::MAX);
/// HTTP connections to one host.
const HTTP_PER_HOST_MAX: usize = 4;
/// Requests that wait for one of them.
const HTTP_WAITING_MAX: usize = 4_096;
/// Addresses are looked up again when they are older, in nanoseconds.
const ADDRESSES_NS_MAX: u64 = 60_000_000_000;
/// Reads of one HTTP connection in one poll.
const HTTP_READS_PER_POLL_MAX: usize = 64;

/// What one poll did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Messages handled.
    pub messages: u32,
    /// Reads that brought something.
    pub reads: u32,
    /// There is more to do at once: the budget of a connection ran out.
    pub more: bool,
}

impl Work {
    /// True if the poll found nothing to do.
    pub fn is_idle(self) -> bool {
        self == Work::default()
    }
}

pub(crate) struct Io {
    poll: Poll,
    events: Events,
    sockets: Slab<Socket>,
    /// Sockets that go on in the next poll.
    again: Vec<usize>,
    again_now: Vec<usize>,
    /// Socket of each link, by the link's slot.
    links: Vec<Option<(LinkId, usize)>>,
    /// What each request is doing.
    requests: HashMap<RequestId, HttpPlace>,
    hosts: HashMap<Box<str>, Host>,
    /// Lookups by tag.
    lookups: HashMap<u64, Box<str>>,
    next_lookup: u64,
    resolver: Resolver,
    net: NetConfig,
    rng: fastrand::Rng,
    frames_per_poll_max: u32,
    /// The only WebSocket that is up, if there is exactly one: it is read without asking whether there is something.
    only: Option<usize>,
    /// How often that was done since all sockets were asked.
    probes: u32,
    /// Socket options that were refused, each once.
    failures: Vec<Failure>,
}

/// Reading a socket that has nothing costs about as much as asking for events, and a socket that has something is read
/// half a microsecond sooner. With two sockets that would no longer pay. All else (timers apart) waits this many polls.
const PROBES_MAX: u32 = 15;

enum Socket {
    Ws { link: LinkId, ws: Box<WsLink>, up: bool },
    Http { host: Box<str>, http: Box<HttpLink>, request: Option<RequestId> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HttpPlace {
    Waiting,
    Socket(usize),
}

/// One host and port.
struct Host {
    url: Url,
    addresses: Addresses,
    looked_up: Mono,
    looking: bool,
    /// Links that wait for an address.
    links: Vec<(LinkId, Url)>,
    /// Requests that wait for a connection.
    waiting: VecDeque<(RequestId, Box<SignedRequest>)>,
    /// HTTP sockets, idle or not.
    http: Vec<usize>,
}

impl Io {
    pub(crate) fn new(net: NetConfig, frames_per_poll_max: u32, seed: u64) -> Result<Io, Error> {
        let system = |what: &str, error: std::io::Error| {
            Error::new(ErrorKind::System, format!("cannot {what}: {error}; is the limit on open files reached?"))
        };
        let poll = Poll::new().map_err(|error| system("make an epoll instance", error))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(|error| system("make a waker", error))?;
        let resolver = Resolver::start(Arc::new(waker)).map_err(|error| of_net(&error))?;
        Ok(Io {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            sockets: Slab::new(),
            again: Vec::new(),
            again_now: Vec::new(),
            links: Vec::new(),
            requests: HashMap::new(),
            hosts: HashMap::new(),
            lookups: HashMap::new(),
            next_lookup: 0,
            resolver,
            net,
            rng: fastrand::Rng::with_seed(seed),
            frames_per_poll_max: frames_per_poll_max.max(1),
            only: None,
            probes: 0,
            failures: Vec::new(),
        })
    }

    /// Socket options that were refused, each once.
    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// True if there is work that no event will announce.
    pub(crate) fn has_more(&self) -> bool {
        !self.again.is_empty()
    }

    /// Waits for events for at most `timeout` and handles what is ready.
    pub(crate) fn turn(
        &mut self,
        timeout: Option<Duration>,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
    ) -> Result<Work, Error> {
        let mut work = Work::default();
        if let (Some(at), Some(Duration::ZERO)) = (self.only, timeout)
            && self.probes < PROBES_MAX
            && self.again.is_empty()
        {
            self.probes += 1;
            self.on_ready(at, true, false, false, core, clock, sink, &mut work);
            work.more = !self.again.is_empty();
            return Ok(work);
        }
        self.probes = 0;
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal; the caller comes back by himself.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(work),
            Err(error) => return Err(Error::new(ErrorKind::System, format!("epoll failed: {error}"))),
        }
        if self.events.is_empty() && self.again.is_empty() {
            return Ok(work);
        }
        std::mem::swap(&mut self.again, &mut self.again_now);
        let mut answered = false;
        // The events are lent out of `self` for the loop, and put back.
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let token = event.token();
            if token == WAKER {
                answered = true;
                continue;
            }
            let closed = event.is_read_closed() || event.is_error();
            self.on_ready(token.0, event.is_readable(), event.is_writable(), closed, core, clock, sink, &mut work);
            if !self.again_now.is_empty() {
                self.again_now.retain(|at| *at != token.0);
            }
        }
        self.events = events;
        while let Some(at) = self.again_now.pop() {
            self.on_ready(at, true, false, false, core, clock, sink, &mut work);
        }
        if answered {
            self.take_lookups(core, clock, sink);
        }
        work.more = !self.again.is_empty();
        Ok(work)
    }

    /// Carries out what the core asks for.
    pub(crate) fn carry_out(&mut self, core: &mut Core, clock: &Clock, sink: &mut impl StampedSink) {
        while let Some(command) = core.next_command() {
            match command {
                Command::Connect { link, url } => self.connect(link, &url, core, clock, sink),
                Command::Send { link, text } => {
                    self.with_ws(link, core, clock, sink, |ws| ws.send_text(&text));
                    core.recycle(text);
                }
                Command::Ping { link } => self.with_ws(link, core, clock, sink, |ws| ws.ping(b"")),
                Command::Close { link } => self.close(link),
                Command::Request { request, base, signed } => {
                    self.request(request, &base, signed, core, clock, sink);
                }
                Command::Cancel { request } => self.cancel(request),
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // The parts of one engine, lent apart.
    #[inline]
    fn on_ready(
        &mut self,
        at: usize,
        readable: bool,
        writable: bool,
        closed: bool,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
        work: &mut Work,
    ) {
        match self.sockets.get_mut(at) {
            Some(Socket::Ws { link, ws, up }) => {
                let link = *link;
                let was_up = *up;
                let outcome = ws.ready(readable, writable, closed).and_then(|state| {
                    if state == LinkState::Open && !*up {
                        *up = true;
                        core.on_link_up(link, now(clock), sink);
                    }
                    if !*up {
                        return Ok(false);
                    }
                    read_messages(link, ws, self.frames_per_poll_max, core, clock, sink, work)
                });
                let came_up = *up && !was_up;
                match outcome {
                    Ok(true) => self.again.push(at),
                    Ok(false) => {}
                    Err(error) => self.lost(link, &error, core, clock, sink),
                }
                if came_up {
                    self.find_only();
                }
            }
            Some(Socket::Http { .. }) => self.on_http_ready(at, readable, writable, closed, core, clock, sink, work),
            None => {}
        }
    }

    // --- WebSockets ---------------------------------------------------------------------------------------------------

    fn connect(&mut self, link: LinkId, url: &str, core: &mut Core, clock: &Clock, sink: &mut impl StampedSink) {
        let parsed = match Url::parse(url) {
            Ok(url) => url,
            Err(error) => {
                self.lost(link, &error, core, clock, sink);
                return;
            }
        };
        self.close(link);
        let key = key_of(&parsed);
        let host = self.host(&key, &parsed);
        host.links.push((link, parsed));
        self.look_up(&key, core, clock, sink);
    }

    fn open_ws(
        &mut self,
        link: LinkId,
        url: &Url,
        address: std::net::SocketAddr,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
    ) {
        let seed = self.rng.u64(..);
        let opened = WsLink::open(address, url, &self.net, seed).and_then(|mut ws| {
            let entry = self.sockets.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = Token(entry.key());
            self.poll
                .registry()
                .register(ws.source(), token, interest)
                .map_err(|error| NetError::Os { what: "register a socket", kind: error.kind() })?;
            for failure in ws.failures() {
                if !self.failures.iter().any(|known| known.what == failure.what) {
                    log::warn!("{failure}");
                    self.failures.push(*failure);
                }
            }
            entry.insert(Socket::Ws { link, ws: Box::new(ws), up: false });
            Ok(token.0)
        });
        match opened {
            Ok(at) => {
                if self.links.len() <= link.slot() {
                    self.links.resize(link.slot() + 1, None);
                }
                self.links[link.slot()] = Some((link, at));
            }
            Err(error) => self.lost(link, &error, core, clock, sink),
        }
    }

    fn with_ws(
        &mut self,
        link: LinkId,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
        act: impl FnOnce(&mut WsLink) -> Result<(), NetError>,
    ) {
        let Some(Some((owner, at))) = self.links.get(link.slot()).copied() else { return };
        let Some(Socket::Ws { ws, .. }) = self.sockets.get_mut(at) else { return };
        if owner != link {
            return;
        }
        if let Err(error) = act(ws) {
            self.lost(link, &error, core, clock, sink);
        }
    }

    /// The socket of a link is gone, or was never made.
    fn lost(&mut self, link: LinkId, error: &NetError, core: &mut Core, clock: &Clock, sink: &mut impl StampedSink) {
        self.close(link);
        let retry_after_s = match error {
            NetError::Upgrade { retry_after_s, .. } => *retry_after_s,
            _ => None,
        };
        core.on_link_down(link, &LinkDown { error: of_net(error), retry_after_s }, now(clock), sink);
    }

    fn close(&mut self, link: LinkId) {
        for host in self.hosts.values_mut() {
            host.links.retain(|(waiting, _)| *waiting != link);
        }
        let Some(place) = self.links.get_mut(link.slot()) else { return };
        let Some((owner, at)) = *place else { return };
        if owner != link {
            return;
        }
        *place = None;
        if let Some(Socket::Ws { ws, .. }) = self.sockets.get_mut(at) {
            if ws.state() == LinkState::Open {
                // Polite, and not waited for: what follows is of no interest.
                let _ = ws.close(1000, "");
            }
            let _ = self.poll.registry().deregister(ws.source());
            ws.shutdown();
            self.drop_socket(at);
        }
    }

    fn drop_socket(&mut self, at: usize) {
        self.again.retain(|other| *other != at);
        self.again_now.retain(|other| *other != at);
        if self.sockets.contains(at) {
            self.sockets.remove(at);
        }
        self.find_only();
    }

    /// To be called when a WebSocket has come up or a socket has gone.
    fn find_only(&mut self) {
        // Each socket is noted at most once, so neither grows while messages come.
        self.again.reserve(self.sockets.len().saturating_sub(self.again.len()));
        self.again_now.reserve(self.sockets.len().saturating_sub(self.again_now.len()));
        let mut up = self.sockets.iter().filter(|(_, socket)| matches!(socket, Socket::Ws { up: true, .. }));
        self.only = match (up.next(), up.next()) {
            (Some((at, _)), None) => Some(at),
            _ => None,
        };
    }

    // --- Names --------------------------------------------------------------------------------------------------------

    fn host(&mut self, key: &str, url: &Url) -> &mut Host {
        self.hosts.entry(key.into()).or_insert_with(|| Host {
            url: url.clone(),
            addresses: Addresses::default(),
            looked_up: Mono(0),
            looking: false,
            links: Vec::new(),
            waiting: VecDeque::new(),
            http: Vec::new(),
        })
    }

    /// Makes the connections that wait for an address of this host, or asks for one.
    fn look_up(&mut self, key: &str, core: &mut Core, clock: &Clock, sink: &mut impl StampedSink) {
        let at = now(clock).mono;
        let Some(host) = self.hosts.get_mut(key) else { return };
        let fresh = !host.addresses.is_empty() && at.since_ns(host.looked_up) < ADDRESSES_NS_MAX;
        if fresh {
            self.open_waiting(key, core, clock, sink);
            return;
        }
        if host.looking {
            return;
        }
        host.looking = true;
        let tag = self.next_lookup;
        self.next_lookup += 1;
        // Behind a proxy it is the proxy's address that we need; it looks up the venue itself.
        let (name, port) = self.net.connect_to(&host.url);
        let name = name.to_owned();
        self.lookups.insert(tag, key.into());
        if let Err(error) = self.resolver.resolve(&name, port, tag) {
            self.looked_up(tag, Err(error), core, clock, sink);
        }
        // An IP address is answered at once.
        self.take_lookups(core, clock, sink);
    }

    fn take_lookups(&mut self, core: &mut Core, clock: &Clock, sink: &mut impl StampedSink) {
        while let Some((tag, answer)) = self.resolver.poll() {
            self.looked_up(tag, answer, core, clock, sink);
        }
    }

    fn looked_up(
        &mut self,
        tag: u64,
        answer: Result<Vec<std::net::SocketAddr>, NetError>,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
    ) {
        let Some(key) = self.lookups.remove(&tag) else { return };
        let at = now(clock).mono;
        let Some(host) = self.hosts.get_mut(&key) else { return };
        host.looking = false;
        match answer {
            Ok(found) => {
                host.addresses.update(&found);
                host.looked_up = at;
            }
            // Old addresses are better than none.
            Err(_) if !host.addresses.is_empty() => host.looked_up = at,
            Err(error) => {
                let links = std::mem::take(&mut host.links);
                let waiting = std::mem::take(&mut host.waiting);
                for (link, _) in links {
                    self.lost(link, &error, core, clock, sink);
                }
                for (request, ..) in waiting {
                    self.requests.remove(&request);
                    core.on_reply(request, Err(of_net(&error)), now(clock), sink);
                }
                return;
            }
        }
        self.open_waiting(&key, core, clock, sink);
    }

    fn open_waiting(&mut self, key: &str, core: &mut Core, clock: &Clock, sink: &mut impl StampedSink) {
        while let Some(host) = self.hosts.get_mut(key) {
            let Some((link, url)) = host.links.pop() else { break };
            let Some(address) = host.addresses.next() else { break };
            self.open_ws(link, &url, address, core, clock, sink);
        }
        self.send_waiting(key, core, clock, sink);
    }

    // --- HTTP ---------------------------------------------------------------------------------------------------------

    #[allow(clippy::too_many_arguments)]
    fn request(
        &mut self,
        request: RequestId,
        base: &str,
        signed: Box<SignedRequest>,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
    ) {
        let url = match Url::parse(base) {
            Ok(url) => url,
            Err(error) => {
                core.on_reply(request, Err(of_net(&error)), now(clock), sink);
                return;
            }
        };
        let key = key_of(&url);
        let host = self.host(&key, &url);
        if host.waiting.len() >= HTTP_WAITING_MAX {
            let text = format!("{HTTP_WAITING_MAX} requests wait for {} already", host.url.host());
            core.on_reply(request, Err(Error::new(ErrorKind::LimitReached, text)), now(clock), sink);
            return;
        }
        host.waiting.push_back((request, signed));
        self.requests.insert(request, HttpPlace::Waiting);
        self.look_up(&key, core, clock, sink);
    }

    /// Gives waiting requests to idle connections, and opens more while there may be more.
    fn send_waiting(&mut self, key: &str, core: &mut Core, clock: &Clock, sink: &mut impl StampedSink) {
        loop {
            let Some(host) = self.hosts.get_mut(key) else { return };
            if host.waiting.is_empty() {
                return;
            }
            let idle = host.http.iter().copied().find(
                |at| matches!(self.sockets.get(*at), Some(Socket::Http { http, request: None, .. }) if http.reusable()),
            );
            let at = match idle {
                Some(at) => at,
                None if host.http.len() >= HTTP_PER_HOST_MAX => return,
                None => {
                    let Some(address) = host.addresses.next() else { return };
                    let opened = HttpLink::open(address, &host.url, &self.net).and_then(|mut http| {
                        let entry = self.sockets.vacant_entry();
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        let token = Token(entry.key());
                        self.poll
                            .registry()
                            .register(http.source(), token, interest)
                            .map_err(|error| NetError::Os { what: "register a socket", kind: error.kind() })?;
                        entry.insert(Socket::Http { host: key.into(), http: Box::new(http), request: None });
                        Ok(token.0)
                    });
                    match opened {
                        Ok(at) => {
                            host.http.push(at);
                            at
                        }
                        Err(error) => {
                            let Some((request, ..)) = host.waiting.pop_front() else { return };
                            self.requests.remove(&request);
                            core.on_reply(request, Err(of_net(&error)), now(clock), sink);
                            continue;
                        }
                    }
                }
            };
            let Some(host) = self.hosts.get_mut(key) else { return };
            let Some((id, signed)) = host.waiting.pop_front() else { return };
            let Some(Socket::Http { http, request, .. }) = self.sockets.get_mut(at) else { return };
            *request = Some(id);
            self.requests.insert(id, HttpPlace::Socket(at));
            let mut headers: Vec<(&str, &str)> = signed.headers.iter().map(|(name, value)| (*name, &**value)).collect();
            if !signed.body.is_empty() {
                headers.push(("Content-Type", signed.content_type));
            }
            let (method, target) = (method_of(signed.method), signed.target.as_str());
            let sent = http.request(&HttpRequest { method, target, headers: &headers, body: &signed.body });
            if let Err(error) = sent {
                self.http_over(at, Some(&error), core, clock, sink);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn on_http_ready(
        &mut self,
        at: usize,
        readable: bool,
        writable: bool,
        closed: bool,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
        work: &mut Work,
    ) {
        let Some(Socket::Http { http, request, .. }) = self.sockets.get_mut(at) else { return };
        let mut outcome = http.ready(readable, writable, closed).map(|_| ());
        let mut more = outcome.is_ok();
        let mut reads = 0;
        while more && outcome.is_ok() {
            if reads == HTTP_READS_PER_POLL_MAX {
                // A long answer: the others get their turn first.
                self.again.push(at);
                break;
            }
            reads += 1;
            work.reads += 1;
            match http.fill() {
                Ok(fill) => more = fill.maybe_more,
                Err(error) => outcome = Err(error),
            }
        }
        if let Some(response) = http.response() {
            let Some(id) = request.take() else {
                self.http_over(at, None, core, clock, sink);
                return;
            };
            self.requests.remove(&id);
            let weight = core.weight_header(id);
            let number = |name: &str| response.headers.number(name).and_then(|n| u32::try_from(n).ok());
            let reply = Reply {
                status: response.status,
                body: response.body,
                weight_used: if weight.is_empty() { None } else { number(weight) },
                retry_after_s: number("retry-after"),
            };
            core.on_reply(id, Ok(reply), now(clock), sink);
        }
        let Some(Socket::Http { http, host, request }) = self.sockets.get(at) else { return };
        let over = http.state() == LinkState::Closed || (request.is_none() && !http.reusable());
        match outcome {
            Err(error) => self.http_over(at, Some(&error), core, clock, sink),
            Ok(())
                if over
                    && !matches!(
                        http.state(),
                        LinkState::Connecting | LinkState::ProxyHandshake | LinkState::TlsHandshake
                    ) =>
            {
                self.http_over(at, None, core, clock, sink);
            }
            Ok(()) => {
                let key = host.clone();
                self.send_waiting(&key, core, clock, sink);
            }
        }
    }

    /// An HTTP connection is finished; its request, if it has one, has failed.
    fn http_over(
        &mut self,
        at: usize,
        error: Option<&NetError>,
        core: &mut Core,
        clock: &Clock,
        sink: &mut impl StampedSink,
    ) {
        let Some((key, id)) = self.drop_http(at) else { return };
        if let Some(id) = id {
            self.requests.remove(&id);
            let closed = NetError::Http("the server closed the connection before it answered");
            core.on_reply(id, Err(of_net(error.unwrap_or(&closed))), now(clock), sink);
        }
        self.send_waiting(&key, core, clock, sink);
    }

    /// Closes an HTTP connection; its host, and the request that it was at.
    fn drop_http(&mut self, at: usize) -> Option<(Box<str>, Option<RequestId>)> {
        let Some(Socket::Http { host, http, request }) = self.sockets.get_mut(at) else { return None };
        let (key, id) = (host.clone(), request.take());
        let _ = self.poll.registry().deregister(http.source());
        http.shutdown();
        self.drop_socket(at);
        if let Some(host) = self.hosts.get_mut(&key) {
            host.http.retain(|other| *other != at);
        }
        Some((key, id))
    }

    fn cancel(&mut self, id: RequestId) {
        match self.requests.remove(&id) {
            Some(HttpPlace::Waiting) => {
                for host in self.hosts.values_mut() {
                    host.waiting.retain(|(waiting, ..)| *waiting != id);
                }
            }
            Some(HttpPlace::Socket(at)) => {
                // HTTP/1.1 cannot take a request back: the connection goes with it.
                self.drop_http(at);
            }
            None => {}
        }
    }
}

/// A sink that also takes the stamp of the read that its messages came with.
pub(crate) trait StampedSink: Sink {
    /// The messages that follow came with the read that began at `received`.
    fn read_began(&mut self, received: Stamp);

    /// That read is over: its bytes lie decrypted.
    fn read_ended(&mut self);
}

/// Reads and handles messages until the socket is drained. True if the budget ran out before.
#[inline]
fn read_messages(
    link: LinkId,
    ws: &mut WsLink,
    frames_max: u32,
    core: &mut Core,
    clock: &Clock,
    sink: &mut impl StampedSink,
    work: &mut Work,
) -> Result<bool, NetError> {
    let mut frames = 0;
    let mut maybe_more = true;
    let mut received = now(clock);
    sink.read_began(received);
    loop {
        let kernel = ws.kernel_stamp_ns().map(Wall);
        // To be told that there is nothing takes longer than to look.
        let next = if ws.is_drained() { None } else { ws.next()? };
        match next {
            Some(Message::Text(text) | Message::Binary(text)) => {
                core.on_message(link, text, received, kernel, sink);
                work.messages += 1;
                frames += 1;
                if frames == frames_max {
                    return Ok(true);
                }
            }
            Some(Message::Ping(_)) => {
                core.on_activity(link, 1, received.mono);
                frames += 1;
                if frames == frames_max {
                    return Ok(true);
                }
            }
            Some(Message::Pong(_)) => core.on_activity(link, 0, received.mono),
            Some(Message::Close { code, reason }) => return Err(NetError::Closed { code, reason: reason.into() }),
            None if maybe_more => {
                ws.finish_read()?;
                // Nothing was done yet since the time was looked at.
                if frames > 0 {
                    received = now(clock);
                    sink.read_began(received);
                }
                let fill = ws.fill()?;
                maybe_more = fill.maybe_more;
                sink.read_ended();
                work.reads += u32::from(fill.bytes > 0);
                if ws.state() == LinkState::Closed {
                    return Err(NetError::Eof(crate::net::error::EofKind::Closed));
                }
            }
            None => {
                ws.finish_read()?;
                return Ok(false);
            }
        }
    }
}

#[inline]
pub(crate) fn now(clock: &Clock) -> Stamp {
    let now = clock.now();
    Stamp { mono: Mono(now.mono_ns), wall: Wall(now.wall_ns) }
}

/// Connections to the same scheme, host and port share addresses and HTTP connections.
fn key_of(url: &Url) -> Box<str> {
    format!("{}://{}:{}", url.scheme().as_str(), url.host(), url.port()).into()
}

fn method_of(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::Get,
        Method::Post => http::Method::Post,
        Method::Put => http::Method::Put,
        Method::Delete => http::Method::Delete,
    }
}

/// A transport error in unified terms.
pub(crate) fn of_net(error: &NetError) -> Error {
    let kind = match error {
        NetError::ConnectTimeout { .. } | NetError::TlsTimeout | NetError::UpgradeTimeout | NetError::HttpTimeout => {
            ErrorKind::RequestTimeout
        }
        NetError::Upgrade { status, .. } => ErrorKind::of_http_status(*status),
        NetError::Url(_) => ErrorKind::BadRequest,
        NetError::MessageTooBig { .. } => ErrorKind::BadResponse,
        NetError::Os { .. } => ErrorKind::System,
        _ => ErrorKind::NetworkError,
    };
    Error::new(kind, error.to_string())
}
