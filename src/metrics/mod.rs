//! Latency histograms.

/// stub
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// x
    Parsed,
    /// x
    Book,
    /// x
    User,
}
/// x
#[derive(Debug, Default)]
pub struct Metrics {}
impl Metrics {
    /// x
    pub fn record(&mut self, _row: u32, _stage: Stage, _ns: u64) {}
}
