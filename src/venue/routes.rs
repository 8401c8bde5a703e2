//! From the topic in a message to the feed that asked for it.

use super::Channel;
use crate::json::Cursor;
use crate::model::MarketId;
use crate::sys::ahead::{LINE, fetch_ahead};

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

/// Where in memory the things lay that the last message of a route needed, for the next one: addresses, used for nothing
/// but to fetch them ahead, so it does no harm if something else lies there by now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// The place of the feed in the list of all.
    pub(crate) slot: usize,
    /// The feed.
    pub(crate) feed: usize,
    /// Its book; zero if it has none.
    pub(crate) book: usize,
    /// Where the levels of each side end, the best being the last.
    pub(crate) ends: [usize; 2],
}

impl Footprint {
    /// True if the next message may leave another one: nothing is known yet, or it is a book, whose levels move as they
    /// come and go. All else stays where it is.
    #[inline(always)]
    pub(crate) fn may_change(&self) -> bool {
        self.book != 0 || self.feed == 0
    }

    /// Fetches a book, or what there is of one.
    #[inline(always)]
    fn fetch(&self) {
        fetch_ahead(self.slot, 1);
        fetch_ahead(self.feed, 1);
        if self.book == 0 {
            return;
        }
        fetch_ahead(self.book, BOOK_LINES);
        for end in self.ends {
            fetch_ahead(end.wrapping_sub(LEVEL_LINES * LINE), LEVEL_LINES);
        }
    }
}

/// Lines of a book that a message touches, beside its levels.
const BOOK_LINES: usize = 5;
/// Lines with the best levels of a side: nine of ten changes touch no other one.
const LEVEL_LINES: usize = 12;

/// The topics of one connection.
///
/// Looked up once per message, by the text in the message: a hash of a few bytes, one look into a small table, and one
/// compare in the row that it names, which has everything else. With a thousand topics in turn, these are the lines that
/// are waited for; those of the book come meanwhile.
#[derive(Debug, Default)]
pub struct Routes {
    rows: Vec<Option<Row>>,
    by_topic: Places,
    /// Those topics once more that are made of two short names.
    by_words: Places,
    /// Those once more that are no longer than most.
    by_text: Places,
    count: usize,
}

/// All about one topic. What usual messages need lies in two lines of a cache.
#[derive(Debug)]
#[repr(C, align(64))]
struct Row {
    route: Route,
    footprint: Footprint,
    /// The topic as two short names; if it is not that, no place of `by_words` leads here.
    words: Words,
    /// The topic as messages are read; if it is too long, no place of `by_text` leads here.
    text: Text,
    topic: Box<[u8]>,
}

const _: () = assert!(std::mem::offset_of!(Row, topic) <= 2 * LINE);

impl Routes {
    /// Adds a topic, or replaces what it led to.
    pub fn insert(&mut self, topic: &str, route: Route) -> RouteId {
        let topic = topic.as_bytes();
        let footprint = Footprint::default();
        if let Some((id, _)) = self.row(topic)
            && let Some(row) = &mut self.rows[id.0 as usize]
        {
            (row.route, row.footprint) = (route, footprint);
            return id;
        }
        let (words, text) = (words_of(topic).unwrap_or_default(), text_of(topic).unwrap_or_default());
        let row = Some(Row { route, footprint, words, text, topic: topic.into() });
        let id = match self.rows.iter().position(Option::is_none) {
            Some(free) => {
                self.rows[free] = row;
                RouteId(free as u32)
            }
            None => {
                self.rows.push(row);
                RouteId(self.rows.len() as u32 - 1)
            }
        };
        self.count += 1;
        if self.by_topic.has_room(self.count) {
            self.place(topic, id);
        } else {
            self.place_all();
        }
        id
    }

    /// Removes a topic.
    pub fn remove(&mut self, topic: &str) {
        if let Some((id, _)) = self.row(topic.as_bytes()) {
            self.rows[id.0 as usize] = None;
            self.count -= 1;
            self.place_all();
        }
    }

    /// Removes all topics.
    pub fn clear(&mut self) {
        *self = Routes::default();
    }

    /// The route of a topic.
    #[inline]
    pub fn find(&self, topic: &[u8]) -> Option<(RouteId, &Route)> {
        let (id, row) = self.row(topic)?;
        Some((id, &row.route))
    }

    /// The route of the topic `channel:symbol`, where a message names both apart.
    #[inline]
    pub fn find_pair(&self, channel: &[u8], symbol: &[u8]) -> Option<(RouteId, &Route)> {
        if let Some(words) = words(channel, symbol)
            && let Some(found) = self.find_words(words)
        {
            return Some(found);
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
            Some(symbol) => self.find_words(words_from(channel.word, symbol)),
            None => self.find_pair(channel.text, c.bytes().ok()?),
        }
    }

    /// The route of a topic that comes next in a message, which is read. `None` if anything else comes, or if the topic is
    /// longer than most: [`Routes::find`] may know it then.
    #[inline(always)]
    pub(super) fn read_topic(&self, c: &mut Cursor<'_>) -> Option<(RouteId, &Route)> {
        let text = c.plain_topic()?;
        let (id, row) = self.by_text.find(hash_of(text), &self.rows, |row| row.text == text)?;
        Some((id, &row.route))
    }

    /// The route behind an id.
    #[inline]
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        Some(&self.rows.get(id.0 as usize)?.as_ref()?.route)
    }

    /// The route behind an id, to be changed.
    pub fn route_mut(&mut self, id: RouteId) -> Option<&mut Route> {
        Some(&mut self.rows.get_mut(id.0 as usize)?.as_mut()?.route)
    }

    /// The route behind an id, and what its last message needed: to be set, so that it is fetched when the next one is
    /// recognised.
    #[inline]
    pub(crate) fn with_footprint(&mut self, id: RouteId) -> Option<(&Route, &mut Footprint)> {
        let row = self.rows.get_mut(id.0 as usize)?.as_mut()?;
        Some((&row.route, &mut row.footprint))
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline(always)]
    fn row(&self, topic: &[u8]) -> Option<(RouteId, &Row)> {
        self.by_topic.find(hash_of_text(topic), &self.rows, |row| *row.topic == *topic)
    }

    #[inline(always)]
    fn find_words(&self, words: Words) -> Option<(RouteId, &Route)> {
        let (id, row) = self.by_words.find(hash_of(words), &self.rows, |row| row.words == words)?;
        Some((id, &row.route))
    }

    /// Fills all tables from the rows.
    fn place_all(&mut self) {
        for places in [&mut self.by_topic, &mut self.by_words, &mut self.by_text] {
            *places = Places::new(self.count);
        }
        let rows = std::mem::take(&mut self.rows);
        for (id, row) in rows.iter().enumerate() {
            if let Some(row) = row {
                self.place(&row.topic, RouteId(id as u32));
            }
        }
        self.rows = rows;
    }

    /// Adds a row to each table that it belongs to.
    fn place(&mut self, topic: &[u8], id: RouteId) {
        self.by_topic.put(hash_of_text(topic), id);
        if let Some(words) = words_of(topic) {
            self.by_words.put(hash_of(words), id);
        }
        if let Some(text) = text_of(topic) {
            self.by_text.put(hash_of(text), id);
        }
    }
}

/// Numbers of rows by hash, of which half at least are free, so that a search ends soon.
#[derive(Debug, Default)]
struct Places {
    /// As many as a power of two, or none.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// What of the hash does not say where it lies, so that hardly any row is looked at in vain.
    tag: u32,
    /// The number of the row and one more; zero for a place that is free.
    row: u32,
}

impl Places {
    /// Twice the room that so many need, at least.
    fn new(count: usize) -> Places {
        Places { places: vec![Place::default(); (4 * count).next_power_of_two()] }
    }

    fn has_room(&self, count: usize) -> bool {
        2 * count <= self.places.len()
    }

    /// Adds a row, for which there has to be room.
    fn put(&mut self, hash: u64, id: RouteId) {
        let last = self.places.len() - 1;
        let mut at = hash as usize & last;
        while self.places[at].row != 0 {
            at = (at + 1) & last;
        }
        self.places[at] = Place { tag: (hash >> 32) as u32, row: id.0 + 1 };
    }

    #[inline(always)]
    fn find<'r>(&self, hash: u64, rows: &'r [Option<Row>], is_it: impl Fn(&Row) -> bool) -> Option<(RouteId, &'r Row)> {
        let last = self.places.len().wrapping_sub(1);
        let mut at = hash as usize;
        loop {
            let place = self.places.get(at & last)?;
            let id = place.row.checked_sub(1)?;
            if place.tag == (hash >> 32) as u32
                && let Some(Some(row)) = rows.get(id as usize)
            {
                // Not after the compare, which may have to wait for the topic.
                row.footprint.fetch();
                if is_it(row) {
                    return Some((RouteId(id), row));
                }
            }
            at += 1;
        }
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

/// A topic of a channel of at most eight bytes and a symbol of at most fifteen, each with its first byte lowest: integers
/// are compared and hashed in a few instructions, where a text takes a hundred.
type Words = [u64; 3];

/// A topic as [`Cursor::plain_topic`] reads it.
type Text = [u64; 4];

/// The two names in a topic, if both are short.
fn words_of(topic: &[u8]) -> Option<Words> {
    let colon = topic.iter().position(|byte| *byte == b':')?;
    words(&topic[..colon], &topic[colon + 1..])
}

/// A topic as it is read from a message, if it can be read so.
fn text_of(topic: &[u8]) -> Option<Text> {
    let mut text = vec![b'"'];
    text.extend_from_slice(topic);
    text.push(b'"');
    text.resize(text.len() + 36, 0);
    let mut c = Cursor::new(&text);
    c.plain_topic().filter(|_| c.position() == topic.len() + 2)
}

#[inline]
fn words(channel: &[u8], symbol: &[u8]) -> Option<Words> {
    Some(words_from(u64::try_from(word(channel)?).ok()?, word(symbol)?))
}

#[inline(always)]
fn words_from(channel: u64, symbol: u128) -> Words {
    [channel, symbol as u64, (symbol >> 64) as u64]
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

/// The longest topic that is looked up by its parts; a longer one is found by none.
const PAIR_LEN_MAX: usize = 96;

#[inline(always)]
fn hash_of_text(text: &[u8]) -> u64 {
    // The first and the last sixteen bytes, which overlap in most topics; what lies between them in longer ones does not
    // tell topics apart often enough to be worth its time.
    let (first, last) = match (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        (Some(first), Some(last)) => (u128::from_le_bytes(*first), u128::from_le_bytes(*last)),
        _ => {
            let mut short = [0; 16];
            short[..text.len()].copy_from_slice(text);
            (u128::from_le_bytes(short), 0)
        }
    };
    hash_of([text.len() as u64 ^ first as u64, (first >> 64) as u64, last as u64, (last >> 64) as u64])
}

/// A few multiplications. Topics are our own choice, so nobody can aim at collisions.
#[inline(always)]
fn hash_of<const N: usize>(words: [u64; N]) -> u64 {
    let state = words.into_iter().fold(0, |state: u64, word| (state ^ word).wrapping_mul(MULTIPLIER).rotate_left(29));
    state ^ state >> 32
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

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

    #[test]
    fn topics_in_messages_are_found_up_to_their_length() {
        let mut routes = Routes::default();
        let topics: Vec<String> =
            (0..40).map(|len| "abcdefghij@depth@100ms".chars().cycle().take(len).collect()).collect();
        let find = |routes: &Routes, text: &str| {
            let text = format!("{text}{}", " ".repeat(36));
            let mut c = Cursor::new(text.as_bytes());
            (routes.read_topic(&mut c).map(|(id, route)| (id, route.feed)), c.position())
        };
        for (feed, topic) in topics.iter().enumerate() {
            assert_eq!(find(&routes, &format!("\"{topic}\"")).0, None, "{topic}");
            routes.insert(topic, route(feed as u32));
        }
        let all_found = |routes: &Routes, from: usize| {
            for (feed, topic) in topics.iter().enumerate() {
                let (found, end) = find(routes, &format!("\"{topic}\""));
                let wanted = (from..32).contains(&feed).then_some((RouteId(feed as u32), feed as u32));
                assert_eq!(found, wanted, "{topic}");
                assert_eq!(end, if feed < 32 { topic.len() + 2 } else { 0 }, "{topic}");
            }
        };
        all_found(&routes, 0);
        // A short name without a colon leaves its words empty, as a topic of nothing leaves its text.
        assert_eq!(routes.find_pair(b"", b""), None);
        for topic in &topics[..9] {
            routes.remove(topic);
        }
        all_found(&routes, 9);
        assert_eq!(find(&routes, "abcdefghi\"").0, None);
        routes.clear();
        all_found(&routes, 32);
    }

    #[test]
    fn footprints_are_kept_as_long_as_they_hold() {
        let mut routes = Routes::default();
        let id = routes.insert("btcusdt@depth", route(1));
        let known = |routes: &mut Routes| routes.with_footprint(id).map(|(route, footprint)| (route.feed, *footprint));
        let none = Footprint::default();
        assert_eq!(known(&mut routes), Some((1, none)));
        assert!(none.may_change());
        let trades = Footprint { slot: 64, feed: 128, ..none };
        assert!(!trades.may_change());
        let book = Footprint { book: 192, ends: [256, 320], ..trades };
        assert!(book.may_change());
        *routes.with_footprint(id).unwrap().1 = book;
        routes.insert("ethusdt@depth", route(2));
        assert_eq!(known(&mut routes), Some((1, book)));
        assert_eq!(routes.insert("btcusdt@depth", route(3)), id);
        assert_eq!(known(&mut routes), Some((3, none)));
        routes.remove("btcusdt@depth");
        assert_eq!(known(&mut routes), None);
    }
}
