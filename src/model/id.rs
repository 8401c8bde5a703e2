//! Handles and ids: small, `Copy`, typed.

use std::fmt;

/// A venue within an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VenueId(pub(crate) u16);

/// A market of one venue. Markets are never forgotten while the engine lives, so it never goes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MarketId {
    pub(crate) venue: VenueId,
    pub(crate) index: u32,
}

impl MarketId {
    /// The venue it belongs to.
    pub fn venue(self) -> VenueId {
        self.venue
    }
}

/// A feed: one channel of one market, as it was asked for.
///
/// It goes stale when the feed is unwatched; using it then gives [`ErrorKind::StaleHandle`](crate::ErrorKind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A question by REST, on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) u64);

impl FeedId {
    /// No feed: of events that belong to none, such as the answer to a question by REST.
    pub const NONE: FeedId = FeedId { slot: u32::MAX, generation: u32::MAX };
}

/// Printable ASCII kept inline: at most `N` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const N: usize> {
    // First, so that texts sort by their letters.
    bytes: [u8; N],
    len: u8,
}

/// A venue's id of a trade or an order. The longest there are, UUIDs, have 36 characters.
pub type Id = Text<39>;

/// The unified code of a currency, such as `BTC`.
pub type Code = Text<23>;

impl<const N: usize> Text<N> {
    /// The longest text that fits, in bytes.
    pub const BYTES_MAX: usize = N;

    /// The empty text.
    pub const NONE: Text<N> = Text { bytes: [0; N], len: 0 };

    /// From the venue's text. `None` if it is longer than [`Text::BYTES_MAX`] bytes or not printable ASCII.
    pub fn new(text: &[u8]) -> Option<Text<N>> {
        // All of them are looked at, which the compiler does many at a time.
        if text.len() > N || !text.iter().fold(true, |all, byte| all & byte.is_ascii_graphic()) {
            return None;
        }
        let mut id = Text::NONE;
        id.bytes[..text.len()].copy_from_slice(text);
        id.len = text.len() as u8;
        Some(id)
    }

    /// As [`Id::new`], for the first `len` of sixteen bytes, which are known to be digits.
    #[inline(always)]
    pub(crate) fn of_digits(bytes: &[u8; 16], len: usize) -> Option<Id> {
        let mask = u128::MAX.checked_shr(128_u32.checked_sub(8 * len as u32)?).unwrap_or(0);
        let mut id = Id { len: len as u8, ..Id::NONE };
        *id.bytes.first_chunk_mut()? = (u128::from_le_bytes(*bytes) & mask).to_le_bytes();
        Some(id)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only printable ASCII gets in, so this never falls back.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }

    /// As a number, where the venue counts.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_str().parse().ok()
    }

    /// True if it is [`Text::NONE`].
    pub fn is_none(&self) -> bool {
        self.len == 0
    }

    /// A whole number as text. Cut off if it does not fit, which no `u64` is for [`Id`] and [`Code`].
    pub fn of_u64(number: u64) -> Text<N> {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut left = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        let text = &digits[at..];
        Text::new(&text[..text.len().min(N)]).unwrap_or(Text::NONE)
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Text<N> {
        Text::NONE
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// An order of this engine.
///
/// It goes stale when the order has ended and its place is needed for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId {
    pub(crate) venue: VenueId,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl OrderId {
    /// The venue it is an order at.
    pub fn venue(self) -> VenueId {
        self.venue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_uuids_and_refuse_the_rest() {
        let uuid = b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        assert_eq!(Id::new(uuid).unwrap().as_str().as_bytes(), uuid);
        assert_eq!(Id::new(b"40756030").unwrap().as_u64(), Some(40_756_030));
        assert_eq!(Id::new(&[b'x'; 40]), None);
        assert_eq!(Id::new("naïve".as_bytes()), None);
        assert_eq!(Id::new(b"a b"), None);
        assert_eq!(Id::of_u64(0).as_str(), "0");
        assert_eq!(Id::of_u64(u64::MAX).as_str(), "18446744073709551615");
        assert!(Code::NONE.is_none() && !Code::new(b"BTC").unwrap().is_none());
    }
}
