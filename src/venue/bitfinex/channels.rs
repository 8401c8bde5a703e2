//! Channel numbers: the only link from data to topics, new on each connection and each subscription.

/// Channels that are remembered; when there are more, the oldest is forgotten. The venue allows 36 on a connection.
const CHANNELS_MAX: usize = 64;
/// The longest topic that is remembered, in bytes.
const TOPIC_LEN_MAX: usize = 96;
/// Where to look first, by the lowest bits of a number.
const HINTS: usize = 256;
const _: () = assert!(HINTS.is_power_of_two() && CHANNELS_MAX <= 256);

/// The channels of one connection.
#[derive(Debug)]
pub(super) struct Channels {
    rows: Vec<Row>,
    hints: [u8; HINTS],
    /// The row that is given up next when all are taken.
    oldest: usize,
}

#[derive(Debug)]
struct Row {
    number: u64,
    topic: Box<str>,
}

impl Default for Channels {
    fn default() -> Channels {
        Channels { rows: Vec::with_capacity(CHANNELS_MAX), hints: [0; HINTS], oldest: 0 }
    }
}

impl Channels {
    /// The venue calls this topic so from now on. False if it is not one that we asked for: nobody's topic is as long.
    pub(super) fn insert(&mut self, number: u64, topic: &str) -> bool {
        if topic.len() > TOPIC_LEN_MAX {
            return false;
        }
        self.rows.retain(|row| row.number != number && *row.topic != *topic);
        let row = Row { number, topic: topic.into() };
        if self.rows.len() < CHANNELS_MAX {
            self.rows.push(row);
        } else {
            self.oldest %= CHANNELS_MAX;
            self.rows[self.oldest] = row;
            self.oldest += 1;
        }
        true
    }

    /// Forgets a channel, and says what its topic was.
    pub(super) fn remove(&mut self, number: u64) -> Option<Box<str>> {
        let at = self.rows.iter().position(|row| row.number == number)?;
        Some(self.rows.remove(at).topic)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.oldest = 0;
    }

    /// The topic of a channel.
    #[inline]
    pub(super) fn topic(&mut self, number: u64) -> Option<&str> {
        let hint = usize::from(self.hints[number as usize % HINTS]);
        match self.rows.get(hint) {
            Some(row) if row.number == number => Some(&self.rows[hint].topic),
            _ => self.search(number),
        }
    }

    #[cold]
    fn search(&mut self, number: u64) -> Option<&str> {
        let at = self.rows.iter().position(|row| row.number == number)?;
        self.hints[number as usize % HINTS] = at as u8;
        Some(&self.rows[at].topic)
    }

    /// The same without learning anything.
    pub(super) fn peek(&self, number: u64) -> Option<&str> {
        self.rows.iter().find(|row| row.number == number).map(|row| &*row.topic)
    }

    /// The number of a topic.
    pub(super) fn number(&self, topic: &str) -> Option<u64> {
        self.rows.iter().find(|row| *row.topic == *topic).map(|row| row.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_and_go_and_never_grow_beyond_their_bound() {
        let mut channels = Channels::default();
        let topics = |channels: &mut Channels, numbers: &[u64]| -> Vec<String> {
            numbers.iter().map(|&number| channels.topic(number).unwrap_or("-").to_owned()).collect()
        };
        // All with the same lowest bits.
        for n in 0..CHANNELS_MAX as u64 {
            assert!(channels.insert(n * 256 + 7, &format!("ticker:t{n}")));
        }
        for _ in 0..2 {
            for n in 0..CHANNELS_MAX as u64 {
                assert_eq!(channels.topic(n * 256 + 7), Some(format!("ticker:t{n}").as_str()));
                assert_eq!(channels.number(&format!("ticker:t{n}")), Some(n * 256 + 7));
            }
        }
        assert_eq!(topics(&mut channels, &[8, 7]), ["-", "ticker:t0"]);
        assert!(channels.insert(1, "one more") && channels.insert(2, "and one"));
        assert_eq!(channels.rows.len(), CHANNELS_MAX);
        assert_eq!(topics(&mut channels, &[7, 263, 1, 2]), ["-", "-", "one more", "and one"]);
        // The same topic under another number, and the other way round.
        assert!(channels.insert(3, "and one") && channels.insert(1, "another"));
        assert_eq!(topics(&mut channels, &[2, 3, 1]), ["-", "and one", "another"]);
        assert_eq!(channels.remove(3).as_deref(), Some("and one"));
        assert_eq!((channels.remove(3), channels.number("and one")), (None, None));
        assert_eq!(topics(&mut channels, &[3, 1]), ["-", "another"]);
        assert!(!channels.insert(4, &"x".repeat(TOPIC_LEN_MAX + 1)));
        channels.clear();
        assert_eq!(topics(&mut channels, &[1, 519]), ["-", "-"]);
    }
}
