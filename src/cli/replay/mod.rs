//! `wirebook replay`: recordings through the same core, adapter and books that run live.

mod outcome;

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufWriter, Write};
use std::rc::Rc;

use serde_json::{Map, Value, json};
use wirebook::engine::{Backoff, Command, Config, Core, LinkId, RequestId, VenueConfig};
use wirebook::error::{Error, ErrorKind};
use wirebook::model::{FeedId, Mono, Stamp, VenueId, Wall};
use wirebook::venue::{Ask, Channel, Method, Profile, Reply, Venue};

use super::log::{lines_shown, set_place};
use super::recording::{Line, Reader, Recording};
use super::{Failure, Progress, Replay, Stop, say};
use outcome::{Collector, Session};

/// Room for the levels of a side: as much as the deepest snapshot brings, and as much again for what comes later.
const LEVELS_MIN: usize = 10_000;
/// Steps of the clock between two lines: a recording may pause for a day.
const STEPS_MAX: u32 = 1_000;

/// Runs the command.
pub(crate) fn run(arguments: &Replay) -> Result<(), Failure> {
    let recording = Recording::find(&arguments.paths)?;
    let stop = Stop::listen();
    let mut problems = Problems::default();
    let answers = read_answers(&recording, &mut problems)?;
    let markets = read_markets(&recording, &mut problems)?;
    let mut played = Vec::new();
    for (name, path) in &recording.sockets {
        if stop.is_asked() {
            break;
        }
        let mut reader = Reader::open(path)?;
        play(arguments.venue, name, &mut reader, &answers, &markets, &stop, &mut problems, &mut played)?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        let connections: Map<String, Value> =
            played.iter().map(|session| (session.name.clone(), session.to_json())).collect();
        let whole = json!({ "venue": arguments.venue.id, "complete": !stop.is_asked(), "connections": connections });
        writeln!(out, "{whole}")?;
    } else {
        for (at, session) in played.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            session.write(&mut out)?;
        }
    }
    out.flush()?;
    if stop.is_asked() {
        say("stopped before the end; this is what there is so far");
    }
    match problems.0 {
        0 => Ok(()),
        1 => Err(Failure::failed("one line could not be used, see above")),
        count => Err(Failure::failed(format!("{count} lines could not be used, see above"))),
    }
}

/// Counts what could not be used, and says so with file and line.
#[derive(Default)]
struct Problems(u64);

impl Problems {
    fn tell(&mut self, reader: &Reader, what: impl std::fmt::Display) {
        self.0 += 1;
        say(format!("{}:{}: {what}", reader.name, reader.line));
    }
}

/// A recorded answer to a request.
struct Recorded {
    time_ns: i64,
    target: String,
    body: Rc<str>,
}

/// All recorded answers, oldest first. They are kept in memory.
fn read_answers(recording: &Recording, problems: &mut Problems) -> Result<Vec<Recorded>, Failure> {
    let mut answers = Vec::new();
    for path in &recording.answers {
        each_line(path, problems, |line| {
            if line.kind == "http" {
                let (target, body) = (normal_target(&line.url), line.data.as_str().into());
                answers.push(Recorded { time_ns: line.time_ns, target, body });
            }
            Ok(())
        })?;
    }
    answers.sort_by_key(|answer| answer.time_ns);
    Ok(answers)
}

/// All recorded lists of markets with their times.
fn read_markets(recording: &Recording, problems: &mut Problems) -> Result<Vec<(i64, String)>, Failure> {
    let mut lists = Vec::new();
    for path in &recording.symbols {
        each_line(path, problems, |line| {
            if line.kind == "http" {
                lists.push((line.time_ns, line.data.clone()));
            }
            Ok(())
        })?;
    }
    lists.sort_by_key(|list| list.0);
    Ok(lists)
}

fn each_line(
    path: &std::path::Path,
    problems: &mut Problems,
    mut take: impl FnMut(&Line) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = Reader::open(path)?;
    let mut line = Line::default();
    while let Some(outcome) = reader.next(&mut line) {
        match outcome {
            Ok(()) => take(&line)?,
            Err(error) => problems.tell(&reader, error),
        }
    }
    Ok(())
}

/// Path and query of a URL with the query in alphabetical order, so that two spellings of one request agree.
fn normal_target(url: &str) -> String {
    let target = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url,
    };
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let mut parts: Vec<&str> = query.split('&').collect();
    parts.sort_unstable();
    format!("{path}?{}", parts.join("&"))
}

/// Topics in the URL of a WebSocket, and whether its messages name them: `/stream?streams=a/b` do, `/ws/a/b` do not.
fn topics_of_url(url: &str) -> (Vec<&str>, bool) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let named = query.split('&').find_map(|part| part.strip_prefix("streams="));
    let (list, combined) = match (named, path.split_once("/ws/")) {
        (Some(list), _) => (list, true),
        (None, Some((_, list))) => (list, false),
        (None, None) => ("", !path.ends_with("/ws")),
    };
    (list.split('/').filter(|topic| !topic.is_empty()).collect(), combined)
}

/// Plays one file. Each `open` in it begins a connection of its own.
#[allow(clippy::too_many_arguments)] // The parts of one run, lent apart.
fn play(
    profile: &'static Profile,
    name: &str,
    reader: &mut Reader,
    answers: &[Recorded],
    markets: &[(i64, String)],
    stop: &Stop,
    problems: &mut Problems,
    played: &mut Vec<Session>,
) -> Result<(), Failure> {
    let mut progress = Progress::start();
    let mut player: Option<Player> = None;
    let mut line = Line::default();
    let mut opened = 0;
    while let Some(outcome) = reader.next(&mut line) {
        if stop.is_asked() {
            break;
        }
        if let Err(error) = outcome {
            problems.tell(reader, error);
            continue;
        }
        if line.conn != name {
            problems.tell(reader, format!("a line of {:?} among those of {name:?}", line.conn));
            continue;
        }
        set_place(Some((Rc::clone(&reader.name), reader.line)));
        if line.kind == "open" || player.is_none() {
            if let Some(player) = player.take() {
                played.push(player.finish());
            }
            opened += 1;
            let name = if opened == 1 { name.to_owned() } else { format!("{name}#{opened}") };
            player = Some(Player::new(profile, name, answers, markets, line.time_ns)?);
        }
        let Some(player) = &mut player else { continue };
        player.go_on_until(line.time_ns);
        match (line.kind.as_str(), line.dir.as_str()) {
            ("open", _) => player.open(&line, reader, problems),
            ("text", "in") => {
                if !player.message(&line) {
                    // The library has said why, at this place.
                    problems.0 += 1;
                }
            }
            ("text", "out") => player.sent(&line, reader, problems),
            ("binary", _) => problems.tell(reader, "a binary message, which this venue does not send"),
            (kind, _) => problems.tell(reader, format!("kind {kind:?} has no place in a WebSocket connection")),
        }
        progress.tell(|| format!("{name}: {} messages so far", player.session.frames));
    }
    progress.end();
    set_place(None);
    played.extend(player.map(Player::finish));
    Ok(())
}

/// One connection as it is played.
struct Player {
    core: Core,
    adapter: Box<dyn Venue>,
    venue: VenueId,
    link: Option<LinkId>,
    /// The messages name their topics.
    combined: bool,
    now: Stamp,
    /// Answers by target, those that are not used yet.
    answers: HashMap<String, VecDeque<(i64, Rc<str>)>>,
    /// Requests with the time at which they are answered; without an answer they fail at once.
    asked: Vec<Asked>,
    session: Session,
}

struct Asked {
    due_ns: i64,
    request: RequestId,
    target: String,
    answer: Option<(i64, Rc<str>)>,
}

impl Player {
    fn new(
        profile: &'static Profile,
        name: String,
        answers: &[Recorded],
        markets: &[(i64, String)],
        start_ns: i64,
    ) -> Result<Player, Failure> {
        let mut config = Config::default();
        // Nothing but the recording decides when something is late.
        config.request_timeout_ms = u64::MAX;
        config.subscribe_timeout_ms = u64::MAX;
        config.connect_timeout_ms = u64::MAX;
        config.stale_after_ms = None;
        // A request that the recording does not answer is repeated ever more rarely.
        config.retry = Backoff { first_ms: 200, max_ms: u64::MAX };
        config.book_levels_min = LEVELS_MIN;
        config.metrics = false;
        config.seed = 1;
        let mut core = Core::new(config);
        let mut venue_config = VenueConfig::at(profile.ws_url, profile.rest_url);
        venue_config.streams_per_link_max = Some(u16::MAX);
        venue_config.lifetime_s = Some(u32::MAX);
        let venue = core.add_venue(profile.id, venue_config)?;
        let now = stamp(start_ns);
        let mut outcome = Err(Error::new(ErrorKind::BadResponse, "no list of markets in the recording"));
        for (time_ns, list) in markets {
            let reply = Reply { status: 200, body: list.as_bytes(), weight_used: None, retry_after_s: None };
            let read = core.read_markets(venue, &reply, stamp(*time_ns));
            outcome = if core.has_markets(venue) { Ok(()) } else { read };
        }
        outcome?;
        let mut by_target: HashMap<String, VecDeque<(i64, Rc<str>)>> = HashMap::new();
        for answer in answers {
            let list = by_target.entry(answer.target.clone()).or_default();
            list.push_back((answer.time_ns, Rc::clone(&answer.body)));
        }
        let session = Session::new(name);
        let adapter = (profile.open)();
        Ok(Player {
            core,
            adapter,
            venue,
            link: None,
            combined: true,
            now,
            answers: by_target,
            asked: Vec::new(),
            session,
        })
    }

    fn open(&mut self, line: &Line, reader: &Reader, problems: &mut Problems) {
        // Only Binance and its kin take topics in the address.
        if self.core.profile(self.venue).ws_path != "/stream" {
            return;
        }
        let (topics, combined) = topics_of_url(&line.url);
        self.combined = combined;
        let topics: Vec<String> = topics.iter().map(|topic| topic.replace("%40", "@")).collect();
        self.subscribe(topics.iter().map(String::as_str), reader, problems);
    }

    /// A message that the client sent: a subscription adds its topics.
    fn sent(&mut self, line: &Line, reader: &Reader, problems: &mut Problems) {
        let topics = self.adapter.topics_of_subscription(line.data.as_bytes());
        if !topics.is_empty() {
            self.subscribe(topics.iter().map(String::as_str), reader, problems);
        }
    }

    fn subscribe<'t>(&mut self, topics: impl Iterator<Item = &'t str>, reader: &Reader, problems: &mut Problems) {
        for topic in topics {
            let depth = self.recorded_depth(topic);
            // Where messages do not name their topic, the adapter makes it up from them in its own spelling.
            let outcome = if self.combined {
                self.core.watch_topic(self.venue, topic, depth, self.now.mono)
            } else {
                match self.adapter.parse_topic(topic) {
                    Some((channel, symbol)) => {
                        self.core.watch(self.venue, symbol.as_deref(), channel, depth, self.now.mono)
                    }
                    None => {
                        let text = format!("{topic:?} is no topic that can be read");
                        Err(Error::new(ErrorKind::BadRequest, text))
                    }
                }
            };
            match outcome {
                Ok(feed) => self.add_feed(feed, topic),
                Err(error) => problems.tell(reader, error),
            }
        }
        self.core.on_tick(self.now, &mut Collector { session: &mut self.session, frame: None });
        self.carry_out();
        // Who recorded was subscribed, so nothing is left to be confirmed.
        if let Some(link) = self.link {
            self.core.confirm_all(link, self.now, &mut Collector { session: &mut self.session, frame: None });
        }
        self.carry_out();
    }

    fn add_feed(&mut self, feed: FeedId, topic: &str) {
        let Some((channel, symbol)) = self.adapter.parse_topic(topic) else { return };
        if self.session.channels.insert(feed, channel).is_some() {
            return;
        }
        // A book that never becomes whole is shown too.
        if let (Channel::Book | Channel::TopBook(_), Some(symbol)) = (channel, symbol)
            && let Ok(market) = self.core.markets(self.venue).resolve(&symbol)
        {
            self.session.expect(feed, market.id);
        }
    }

    /// The depth with which the recorded client asked for the snapshot of this topic's market.
    fn recorded_depth(&self, topic: &str) -> Option<u16> {
        let (Channel::Book, Some(symbol)) = self.adapter.parse_topic(topic)? else { return None };
        let market = self.core.markets(self.venue).resolve(&symbol).ok()?;
        let depths = self.core.profile(self.venue).snapshot_depths.iter().rev().map(|row| row.0);
        depths.into_iter().find(|depth| {
            let request = self.adapter.request(Ask::Snapshot { depth: *depth }, Some(market));
            request.is_ok_and(|request| self.answers.contains_key(&normal_target(&request.target)))
        })
    }

    /// False if it could not be read.
    fn message(&mut self, line: &Line) -> bool {
        self.session.frames += 1;
        let Some(link) = self.link else {
            self.session.unrouted += 1;
            return true;
        };
        let before = lines_shown();
        let frame = Some(line.time.as_str().into());
        let mut sink = Collector { session: &mut self.session, frame };
        self.core.begin_cycle();
        self.core.on_message(link, line.data.as_bytes(), self.now, None, &mut sink);
        self.carry_out();
        lines_shown() == before
    }

    /// Does all that is due until then: recorded answers, and what the core does with time.
    fn go_on_until(&mut self, until_ns: i64) {
        for _ in 0..STEPS_MAX {
            let answer = self.asked.iter().enumerate().min_by_key(|(_, asked)| asked.due_ns);
            let answer = answer.map(|(at, asked)| (at, asked.due_ns));
            let tick_ns = i64::try_from(self.core.next_deadline().0).unwrap_or(i64::MAX);
            match answer {
                Some((at, due_ns)) if due_ns <= until_ns && due_ns <= tick_ns => {
                    self.set_now(due_ns);
                    self.answer(at);
                }
                _ if tick_ns <= until_ns => {
                    self.set_now(tick_ns);
                    self.tick();
                }
                _ => break,
            }
        }
        self.set_now(until_ns);
        if self.core.next_deadline() <= self.now.mono {
            self.tick();
        }
        // After a pause with too many steps something may be left.
        let left = |asked: &Asked| asked.answer.is_some() && asked.due_ns <= until_ns;
        while let Some(at) = self.asked.iter().position(left) {
            self.answer(at);
        }
    }

    fn tick(&mut self) {
        if let Some(link) = self.link {
            // Pings were not recorded; the connection lived as long as its recording goes on.
            self.core.on_activity(link, 0, self.now.mono);
        }
        self.core.on_tick(self.now, &mut Collector { session: &mut self.session, frame: None });
        self.carry_out();
    }

    fn answer(&mut self, at: usize) {
        let asked = self.asked.swap_remove(at);
        let mut sink = Collector { session: &mut self.session, frame: None };
        let reply = match &asked.answer {
            Some((_, body)) => Ok(Reply { status: 200, body: body.as_bytes(), weight_used: None, retry_after_s: None }),
            None => {
                let text = format!("the recording holds no answer to GET {}", asked.target);
                Err(Error::new(ErrorKind::NetworkError, text))
            }
        };
        self.core.on_reply(asked.request, reply, self.now, &mut sink);
        self.carry_out();
    }

    /// The recording is the network: connections are made at once, requests are answered when they were.
    fn carry_out(&mut self) {
        while let Some(command) = self.core.next_command() {
            match command {
                Command::Connect { link, .. } => {
                    let mut sink = Collector { session: &mut self.session, frame: None };
                    self.link = Some(link);
                    self.core.on_link_up(link, self.now, &mut sink);
                    self.core.confirm_all(link, self.now, &mut sink);
                }
                Command::Request { request, signed, .. } => {
                    let key = normal_target(&signed.target);
                    let list = self.answers.get_mut(&key).filter(|_| signed.method == Method::Get);
                    let answer = list.and_then(VecDeque::pop_front);
                    let due_ns = answer.as_ref().map_or(0, |answer| answer.0).max(self.now.wall.0);
                    self.asked.push(Asked { due_ns, request, target: key, answer });
                }
                Command::Cancel { request } => {
                    let Some(at) = self.asked.iter().position(|asked| asked.request == request) else { continue };
                    let asked = self.asked.swap_remove(at);
                    if let (Some(answer), Some(list)) = (asked.answer, self.answers.get_mut(&asked.target)) {
                        list.push_front(answer);
                    }
                }
                Command::Send { .. } | Command::Ping { .. } | Command::Close { .. } => {}
            }
        }
    }

    fn set_now(&mut self, ns: i64) {
        // A recorder's clock may have been set back; ours never goes back.
        self.now = stamp(ns.max(self.now.wall.0));
    }

    /// The end of the recording: answers that are still on their way arrive, and the books are taken down.
    fn finish(mut self) -> Session {
        while let Some(due_ns) =
            self.asked.iter().filter(|asked| asked.answer.is_some()).map(|asked| asked.due_ns).min()
        {
            self.go_on_until(due_ns);
        }
        self.session.unrouted += self.core.counters().unrouted;
        let Player { core, mut session, .. } = self;
        session.finish(&core);
        session
    }
}

fn stamp(ns: i64) -> Stamp {
    Stamp { mono: Mono(u64::try_from(ns).unwrap_or(0)), wall: Wall(ns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_agree_whatever_the_order_of_the_query() {
        assert_eq!(normal_target("https://h:1/p?b=2&a=1"), "/p?a=1&b=2");
        assert_eq!(normal_target("/p?a=1&b=2"), "/p?a=1&b=2");
        assert_eq!(normal_target("https://h"), "/");
    }

    #[test]
    fn topics_are_found_in_every_kind_of_address() {
        assert_eq!(topics_of_url("wss://h/stream?timeUnit=x&streams=a@t/b@t"), (vec!["a@t", "b@t"], true));
        assert_eq!(topics_of_url("wss://h/ws/a@t"), (vec!["a@t"], false));
        assert_eq!(topics_of_url("wss://h/stream"), (vec![], true));
        assert_eq!(topics_of_url("wss://h/ws"), (vec![], false));
    }
}
