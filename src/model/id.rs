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

/// A venue's id of a trade or an order, kept inline: at most [`Id::BYTES_MAX`] bytes of text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    len: u8,
    bytes: [u8; Id::BYTES_MAX],
}

impl Id {
    /// The longest id that fits: a UUID has 36 characters.
    pub const BYTES_MAX: usize = 39;

    /// The empty id.
    pub const NONE: Id = Id { len: 0, bytes: [0; Id::BYTES_MAX] };

    /// From the venue's text. `None` if it is longer than [`Id::BYTES_MAX`] bytes or not printable ASCII.
    pub fn new(text: &[u8]) -> Option<Id> {
        // All of them are looked at, which the compiler does many at a time.
        if text.len() > Id::BYTES_MAX || !text.iter().fold(true, |all, byte| all & byte.is_ascii_graphic()) {
            return None;
        }
        let mut id = Id::NONE;
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
}

impl Default for Id {
    fn default() -> Id {
        Id::NONE
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
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
    }
}
