//! The two buffers of a connection: what waits to be sent, and where plain text is read to.

use super::error::NetError;

/// Bytes waiting to be sent, with a limit that is never exceeded.
///
/// Memory is taken at the start and grows, by doubling, only when a peer reads slowly. `Debug` shows sizes and no content,
/// because requests and logins wait here.
pub struct OutBuf {
    bytes: Vec<u8>,
    start: usize,
    limit_bytes: usize,
}

impl OutBuf {
    /// A buffer with `start_bytes` taken now and at most `limit_bytes` ever.
    pub fn new(start_bytes: usize, limit_bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(start_bytes.min(limit_bytes)), start: 0, limit_bytes }
    }

    /// What waits, in order.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most bytes that may wait.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// How many more bytes may be added.
    pub fn room(&self) -> usize {
        self.limit_bytes - self.len()
    }

    /// Forgets the first `n` bytes, which have been sent.
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Adds `bytes`, or nothing.
    ///
    /// # Errors
    /// [`NetError::SendBufferFull`] when they do not fit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.prepare(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The `n` bytes added last.
    pub fn last_mut(&mut self, n: usize) -> &mut [u8] {
        let from = (self.bytes.len().saturating_sub(n)).max(self.start);
        &mut self.bytes[from..]
    }

    /// Makes sure that `n` bytes can be added without exceeding the limit.
    ///
    /// # Errors
    /// [`NetError::SendBufferFull`] when they cannot.
    pub fn prepare(&mut self, n: usize) -> Result<(), NetError> {
        if n > self.room() {
            return Err(NetError::SendBufferFull { limit_bytes: self.limit_bytes });
        }
        if self.bytes.len() + n > self.bytes.capacity() && self.start > 0 {
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(self.bytes.len() - self.start);
            self.start = 0;
        }
        Ok(())
    }

    /// Adds `n` bytes that `write` fills in; it returns how many of them to keep.
    ///
    /// # Errors
    /// [`NetError::SendBufferFull`] when they do not fit, and those of `write`; nothing is added then.
    pub fn write_with(
        &mut self,
        n: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, NetError>,
    ) -> Result<(), NetError> {
        self.prepare(n)?;
        let old = self.bytes.len();
        self.bytes.resize(old + n, 0);
        let kept = write(&mut self.bytes[old..]);
        self.bytes.truncate(old + kept.as_ref().map_or(0, |kept| (*kept).min(n)));
        kept.map(|_| ())
    }
}

impl std::fmt::Debug for OutBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutBuf({} of {} bytes)", self.len(), self.limit_bytes)
    }
}

/// Where decrypted bytes go: the buffer of the WebSocket reader or of the HTTP reader.
pub trait PlainBuf {
    /// The free part of the buffer, at least `need` bytes where possible. It may be shorter, and is empty when the owner
    /// has to take messages out first.
    fn spare(&mut self, need: usize) -> &mut [u8];

    /// Says that the first `n` bytes of [`spare`](Self::spare) now hold data.
    fn filled(&mut self, n: usize);
}

/// A plain reading buffer of fixed size. `Debug` shows sizes and no content.
pub struct InBuf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl InBuf {
    /// A buffer of `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into_boxed_slice(), start: 0, end: 0 }
    }

    /// What has been read and not yet consumed.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Forgets the first `n` unread bytes.
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }
}

impl std::fmt::Debug for InBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InBuf({} of {} bytes)", self.unread().len(), self.bytes.len())
    }
}

impl PlainBuf for InBuf {
    fn spare(&mut self, need: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < need && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_buffer_refuses_whole_messages() {
        let mut out = OutBuf::new(8, 8);
        out.push(b"abcde").unwrap();
        assert_eq!(out.push(b"fghi"), Err(NetError::SendBufferFull { limit_bytes: 8 }));
        assert_eq!(out.as_slice(), b"abcde");
        out.consume(2);
        out.push(b"fghij").unwrap();
        assert_eq!(out.as_slice(), b"cdefghij");
        assert_eq!(out.room(), 0);
        out.consume(8);
        assert!(out.is_empty());
    }

    #[test]
    fn out_buffer_moves_before_it_grows() {
        let mut out = OutBuf::new(16, 64);
        let taken = out.bytes.capacity();
        out.push(&[1; 12]).unwrap();
        out.consume(10);
        out.push(&[2; 12]).unwrap();
        assert_eq!(out.bytes.capacity(), taken);
        assert_eq!(out.as_slice(), [[1; 2].as_slice(), &[2; 12]].concat());
    }

    #[test]
    fn failed_write_adds_nothing() {
        let mut out = OutBuf::new(16, 16);
        out.push(b"ab").unwrap();
        assert!(out.write_with(4, |_| Err(NetError::Utf8)).is_err());
        out.write_with(4, |space| {
            space[..2].copy_from_slice(b"cd");
            Ok(2)
        })
        .unwrap();
        assert_eq!(out.as_slice(), b"abcd");
    }

    #[test]
    fn in_buffer_makes_room_by_moving() {
        let mut buf = InBuf::new(8);
        buf.spare(1)[..6].copy_from_slice(b"abcdef");
        buf.filled(6);
        buf.consume(4);
        assert_eq!(buf.spare(4).len(), 6);
        buf.spare(1)[..2].copy_from_slice(b"gh");
        buf.filled(2);
        assert_eq!(buf.unread(), b"efgh");
        buf.consume(4);
        assert_eq!(buf.spare(1).len(), 8);
    }
}
