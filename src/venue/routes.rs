//! From the topic in a message to the feed that asked for it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Channel;
use crate::json::Cursor;
use crate::model::MarketId;

/// A route within the table of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(pub u32);

/// Where a topic leads, and what is needed to read its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The feed, as the engine numbers them.
    pub feed: u32,
    /// What the topic carries.
    pub channel: Channel,
    /// Its market.
    pub market: Option<MarketId>,
    /// Decimals to read prices with.
    pub price_scale: u8,
    /// Decimals to read amounts with.
    pub amount_scale: u8,
    /// Levels a side that the book can hold; a message with more is refused.
    pub levels_max: u32,
}

/// The topics of one connection.
///
/// Looked up once per message, by the text in the message: a hash of a few bytes and one compare.
#[derive(Debug, Default)]
pub struct Routes {
    by_topic: HashMap<Box<[u8]>, RouteId, BuildHasherDefault<TopicHasher>>,
    rows: Vec<Option<Route>>,
    /// Those topics once more that are made of two short names.
    by_words: Words<WordPair>,
    /// Those once more that are no longer than most.
    by_text: Words<[u64; 4]>,
}

impl Routes {
    /// Adds a topic, or replaces what it led to.
    pub fn insert(&mut self, topic: &str, route: Route) -> RouteId {
        if let Some(&id) = self.by_topic.get(topic.as_bytes()) {
            self.rows[id.0 as usize] = Some(route);
            return id;
        }
        let free = self.rows.iter().position(Option::is_none);
        let id = match free {
            Some(at) => {
                self.rows[at] = Some(route);
                RouteId(at as u32)
            }
            None => {
                self.rows.push(Some(route));
                RouteId(self.rows.len() as u32 - 1)
            }
        };
        self.by_topic.insert(topic.as_bytes().into(), id);
        self.insert_words(topic.as_bytes(), id);
        id
    }

    /// Removes a topic.
    pub fn remove(&mut self, topic: &str) {
        if let Some(id) = self.by_topic.remove(topic.as_bytes()) {
            self.rows[id.0 as usize] = None;
            let by_topic = std::mem::take(&mut self.by_topic);
            (self.by_words, self.by_text) = (Words::default(), Words::default());
            for (topic, &id) in &by_topic {
                self.insert_words(topic, id);
            }
            self.by_topic = by_topic;
        }
    }

    fn insert_words(&mut self, topic: &[u8], id: RouteId) {
        if let Some(pair) = pair_of(topic) {
            self.by_words.insert(pair, id);
        }
        if let Some(text) = text_of(topic) {
            self.by_text.insert(text, id);
        }
    }

    /// Removes all topics.
    pub fn clear(&mut self) {
        self.by_topic.clear();
        self.rows.clear();
        (self.by_words, self.by_text) = (Words::default(), Words::default());
    }

    /// The route of a topic.
    #[inline]
    pub fn find(&self, topic: &[u8]) -> Option<(RouteId, &Route)> {
        let id = *self.by_topic.get(topic)?;
        Some((id, self.rows[id.0 as usize].as_ref()?))
    }

    /// The route of the topic `channel:symbol`, where a message names both apart.
    #[inline]
    pub fn find_pair(&self, channel: &[u8], symbol: &[u8]) -> Option<(RouteId, &Route)> {
        if let Some(pair) = pair(channel, symbol)
            && let Some(id) = self.by_words.find(pair)
        {
            return Some((id, self.rows.get(id.0 as usize)?.as_ref()?));
        }
        let mut topic = [0; PAIR_LEN_MAX];
        let len = channel.len() + 1 + symbol.len();
        let topic = topic.get_mut(..len)?;
        let (start, end) = topic.split_at_mut(channel.len());
        start.copy_from_slice(channel);
        end[0] = b':';
        end[1..].copy_from_slice(symbol);
        self.find(topic)
    }

    /// The same for a symbol that comes next in a message, which is read. `None` if no string without escapes comes.
    #[inline(always)]
    pub(super) fn read_symbol(&self, channel: Name, c: &mut Cursor<'_>) -> Option<(RouteId, &Route)> {
        match c.plain_word() {
            Some(symbol) => {
                let id = self.by_words.find((channel.word, symbol))?;
                Some((id, self.rows.get(id.0 as usize)?.as_ref()?))
            }
            None => self.find_pair(channel.text, c.bytes().ok()?),
        }
    }

    /// The route of a topic that comes next in a message, which is read. `None` if anything else comes, or if the topic is
    /// longer than most: [`Routes::find`] may know it then.
    #[inline(always)]
    pub(super) fn read_topic(&self, c: &mut Cursor<'_>) -> Option<(RouteId, &Route)> {
        let id = self.by_text.find(c.plain_topic()?)?;
        Some((id, self.rows.get(id.0 as usize)?.as_ref()?))
    }

    /// The route behind an id.
    #[inline]
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.rows.get(id.0 as usize)?.as_ref()
    }

    /// The route behind an id, to be changed.
    pub fn route_mut(&mut self, id: RouteId) -> Option<&mut Route> {
        self.rows.get_mut(id.0 as usize)?.as_mut()
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }
}

/// The name of a channel, of at most eight bytes, that [`Routes::read_symbol`] knows at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    text: &'static [u8],
    word: u64,
}

impl Name {
    pub(super) const fn new(text: &'static [u8]) -> Name {
        let (mut word, mut at) = (0, text.len());
        while at > 0 {
            at -= 1;
            assert!(
                text[at] != b':' && text.len() <= 8,
                "the part of a topic before its colon, of at most eight bytes"
            );
            word = word << 8 | text[at] as u64;
        }
        Name { text, word }
    }
}

/// Short topics as integers, which are compared and hashed in a few instructions, where a text takes a hundred. Half of the
/// places at least are free, so that a search ends soon.
#[derive(Debug)]
struct Words<K> {
    /// As many as a power of two, or none.
    places: Vec<Option<(K, RouteId)>>,
    count: usize,
}

/// Integers that stand for a topic.
trait Key: Copy + PartialEq {
    fn hash(self) -> usize;
}

/// A channel of at most eight bytes and a symbol of at most fifteen, each with its first byte lowest.
type WordPair = (u64, u128);

impl Key for WordPair {
    #[inline(always)]
    fn hash(self) -> usize {
        hash_of(self.0, [self.1 as u64, (self.1 >> 64) as u64])
    }
}

/// As [`Cursor::plain_topic`] reads it.
impl Key for [u64; 4] {
    #[inline(always)]
    fn hash(self) -> usize {
        hash_of(self[0], [self[1], self[2], self[3]])
    }
}

impl<K> Default for Words<K> {
    fn default() -> Words<K> {
        Words { places: Vec::new(), count: 0 }
    }
}

impl<K: Key> Words<K> {
    fn insert(&mut self, key: K, id: RouteId) {
        if 2 * (self.count + 1) > self.places.len() {
            let places = vec![None; (4 * (self.count + 1)).next_power_of_two()];
            for (key, id) in std::mem::replace(&mut self.places, places).into_iter().flatten() {
                self.put(key, id);
            }
        }
        self.put(key, id);
        self.count += 1;
    }

    fn put(&mut self, key: K, id: RouteId) {
        let last = self.places.len() - 1;
        let mut at = key.hash() & last;
        while self.places[at].is_some() {
            at = (at + 1) & last;
        }
        self.places[at] = Some((key, id));
    }

    #[inline(always)]
    fn find(&self, key: K) -> Option<RouteId> {
        let last = self.places.len().wrapping_sub(1);
        let mut at = key.hash();
        loop {
            let (there, id) = self.places.get(at & last)?.as_ref()?;
            if *there == key {
                return Some(*id);
            }
            at += 1;
        }
    }
}

/// The two names in a topic, if both are short.
fn pair_of(topic: &[u8]) -> Option<WordPair> {
    let colon = topic.iter().position(|byte| *byte == b':')?;
    pair(&topic[..colon], &topic[colon + 1..])
}

#[inline]
fn pair(channel: &[u8], symbol: &[u8]) -> Option<WordPair> {
    Some((u64::try_from(word(channel)?).ok()?, word(symbol)?))
}

/// A topic as it is read from a message, if it can be read so.
fn text_of(topic: &[u8]) -> Option<[u64; 4]> {
    let mut text = vec![b'"'];
    text.extend_from_slice(topic);
    text.push(b'"');
    text.resize(text.len() + 36, 0);
    let mut c = Cursor::new(&text);
    c.plain_topic().filter(|_| c.position() == topic.len() + 2)
}

/// A text of at most fifteen bytes, the first of them lowest. A zero at its end would not be told from no byte at all.
#[inline(always)]
fn word(text: &[u8]) -> Option<u128> {
    let len = text.len();
    if len > 15 || text.last() == Some(&0) {
        return None;
    }
    // The first and the last bytes, which overlap.
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return Some(u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (len - 8)));
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return Some(u128::from(u32::from_le_bytes(*first)) | u128::from(u32::from_le_bytes(*last)) << (8 * (len - 4)));
    }
    Some(text.iter().rev().fold(0, |word, &byte| word << 8 | u128::from(byte)))
}

#[inline(always)]
fn hash_of<const N: usize>(first: u64, words: [u64; N]) -> usize {
    let state = words.into_iter().fold(first, |state, word| (state ^ word).wrapping_mul(MULTIPLIER).rotate_left(29));
    (state ^ state >> 32) as usize
}

/// The longest topic that is looked up by its parts; a longer one is found by none.
const PAIR_LEN_MAX: usize = 96;

/// A few multiplications. Keys are topics that we chose ourselves, so nobody can aim at collisions.
#[derive(Debug, Default)]
struct TopicHasher(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for TopicHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        // The first and the last sixteen bytes, which overlap in most topics; what lies between them in longer ones does not
        // tell topics apart often enough to be worth its time.
        let (first, last) = match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
            (Some(first), Some(last)) => (u128::from_le_bytes(*first), u128::from_le_bytes(*last)),
            _ => {
                let mut short = [0; 16];
                short[..bytes.len()].copy_from_slice(bytes);
                (u128::from_le_bytes(short), 0)
            }
        };
        let mut state = self.0 ^ bytes.len() as u64;
        for word in [first as u64, (first >> 64) as u64, last as u64, (last >> 64) as u64] {
            state = (state ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
        }
        self.0 = state;
    }

    #[inline]
    fn write_usize(&mut self, _: usize) {
        // The length prefix of a slice; `write` takes the length in already.
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VenueId;

    fn route(feed: u32) -> Route {
        let market = Some(MarketId { venue: VenueId(0), index: feed });
        Route { feed, channel: Channel::Trades, market, price_scale: 2, amount_scale: 3, levels_max: 10 }
    }

    #[test]
    fn topics_come_and_go_without_touching_the_others() {
        let mut routes = Routes::default();
        let (a, b) = (routes.insert("btcusdt@trade", route(1)), routes.insert("ethusdt@trade", route(2)));
        assert_eq!(routes.find(b"ethusdt@trade"), Some((b, &route(2))));
        assert_eq!(routes.find(b"ethusdt@trade1"), None);
        routes.remove("btcusdt@trade");
        assert_eq!(routes.find(b"btcusdt@trade"), None);
        assert_eq!(routes.route(a), None);
        assert_eq!(routes.insert("solusdt@trade", route(3)), a);
        assert_eq!(routes.find(b"solusdt@trade"), Some((a, &route(3))));
        assert_eq!(routes.find(b"ethusdt@trade"), Some((b, &route(2))));
        assert_eq!(routes.insert("ethusdt@trade", route(4)), b);
        assert_eq!((routes.len(), routes.route(b)), (2, Some(&route(4))));
        routes.insert("book:BTC/USD", route(5));
        assert_eq!(routes.find_pair(b"book", b"BTC/USD").map(|found| found.1), Some(&route(5)));
        assert_eq!(routes.find_pair(b"book:", b"BTC/USD"), None);
        assert_eq!(routes.find_pair(b"book", &[b'x'; 200]), None);
    }

    #[test]
    fn symbols_in_messages_are_found_whether_short_or_long() {
        const BOOK: Name = Name::new(b"book");
        let mut routes = Routes::default();
        let symbols: Vec<String> = (0..300).map(|n| format!("{}{n}", &"ABCDEFGHIJKLMNOPQRS"[..n % 19])).collect();
        for (feed, symbol) in symbols.iter().enumerate() {
            routes.insert(&format!("book:{symbol}"), route(feed as u32));
            routes.insert(&format!("trades:{symbol}"), route(1_000));
        }
        let find = |routes: &Routes, text: &str| {
            let text = format!("{text}                     ");
            let mut c = Cursor::new(text.as_bytes());
            let found = routes.read_symbol(BOOK, &mut c).map(|(id, route)| (id, route.feed));
            (found.map(|(id, feed)| (routes.route(id).map(|route| route.feed), feed)), c.position())
        };
        let all_found = |routes: &Routes, from: usize| {
            for (feed, symbol) in symbols.iter().enumerate() {
                let found = Some((Some(feed as u32), feed as u32)).filter(|_| feed >= from);
                assert_eq!(find(routes, &format!("\"{symbol}\"")), (found, symbol.len() + 2), "{symbol}");
            }
        };
        all_found(&routes, 0);
        for (feed, symbol) in symbols.iter().enumerate() {
            let feed_of = |symbol: &str| routes.find_pair(b"book", symbol.as_bytes()).map(|found| found.1.feed);
            assert_eq!(feed_of(symbol), Some(feed as u32), "{symbol}");
            assert_eq!(feed_of(&format!("{symbol}\0")), None, "{symbol}");
        }
        routes.insert("a:b:c", route(7));
        assert_eq!(routes.find_pair(b"a:b", b"c").map(|found| found.1.feed), Some(7));
        assert_eq!(routes.find_pair(b"a", b"b:c").map(|found| found.1.feed), Some(7));
        assert_eq!(find(&routes, "\"AB\"").0, None);
        assert_eq!(find(&routes, "\"\"").0, None);
        assert_eq!(find(&routes, "7"), (None, 0));
        for symbol in &symbols[..100] {
            routes.remove(&format!("book:{symbol}"));
        }
        all_found(&routes, 100);
        routes.clear();
        all_found(&routes, 1_000);
    }
}
