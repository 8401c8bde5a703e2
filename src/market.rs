//! Markets: what a venue trades, in which steps, within which limits.

use std::collections::HashMap;

use crate::decimal::Fixed;
use crate::error::{Error, ErrorKind};
use crate::model::{MarketId, VenueId};

/// What kind of instrument a market trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MarketKind {
    /// One asset against another, at once.
    Spot,
    /// A perpetual contract.
    Swap,
    /// A contract with an expiry.
    Future,
}

/// Smallest and largest value, where the venue sets one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Smallest value allowed.
    pub min: Option<Fixed>,
    /// Largest value allowed.
    pub max: Option<Fixed>,
}

/// A tradable instrument of one venue. Names follow CCXT's market structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Market {
    /// Its handle. Set when it joins [`Markets`].
    pub id: MarketId,
    /// The unified name, `BASE/QUOTE[:SETTLE]`.
    pub symbol: Box<str>,
    /// The venue's own spelling.
    pub venue_symbol: Box<str>,
    /// The venue's number for it, where requests want that.
    pub numeric_id: Option<u64>,
    /// Unified code of the base currency.
    pub base: Box<str>,
    /// Unified code of the quote currency.
    pub quote: Box<str>,
    /// Unified code of the settlement currency of derivatives.
    pub settle: Option<Box<str>>,
    /// Kind of instrument.
    pub kind: MarketKind,
    /// It trades now, as far as the venue's list says.
    pub active: bool,
    /// Smallest step of price (tick size).
    pub price_tick: Option<Fixed>,
    /// Smallest step of amount (lot).
    pub amount_step: Option<Fixed>,
    /// Decimals that prices are kept with.
    pub price_scale: u8,
    /// Decimals that amounts are kept with.
    pub amount_scale: u8,
    /// Bounds of the price of an order.
    pub price_limits: Limits,
    /// Bounds of the amount of an order.
    pub amount_limits: Limits,
    /// Bounds of price times amount of an order.
    pub cost_limits: Limits,
    /// What one contract stands for; `None` where amounts count the base currency itself.
    pub contract_size: Option<Fixed>,
}

impl Market {
    /// A spot market of which nothing but this is known.
    pub fn plain(id: MarketId, base: &str, quote: &str) -> Market {
        Market {
            id,
            symbol: format!("{base}/{quote}").into(),
            venue_symbol: format!("{base}{quote}").into(),
            numeric_id: None,
            base: base.into(),
            quote: quote.into(),
            settle: None,
            kind: MarketKind::Spot,
            active: true,
            price_tick: None,
            amount_step: None,
            price_scale: 2,
            amount_scale: 5,
            price_limits: Limits::default(),
            amount_limits: Limits::default(),
            cost_limits: Limits::default(),
            contract_size: None,
        }
    }
}

/// All markets of a venue. A market keeps its handle when the list is loaded again; one that vanished turns inactive.
#[derive(Clone, Debug, Default)]
pub struct Markets {
    rows: Vec<Market>,
    by_symbol: HashMap<Box<str>, u32>,
    by_venue_symbol: HashMap<Box<str>, u32>,
}

impl Markets {
    /// Takes over a freshly loaded list for `venue`. It says nothing about markets of kinds that it does not hold.
    pub(crate) fn merge(&mut self, venue: VenueId, list: Vec<Market>) {
        let kinds: Vec<MarketKind> = list.iter().map(|market| market.kind).collect();
        let mut seen: Vec<bool> = self.rows.iter().map(|row| !kinds.contains(&row.kind)).collect();
        for mut market in list {
            if let Some(&index) = self.by_venue_symbol.get(&market.venue_symbol) {
                market.id = MarketId { venue, index };
                if let Some(seen) = seen.get_mut(index as usize) {
                    *seen = true;
                }
                self.by_symbol.insert(market.symbol.clone(), index);
                self.rows[index as usize] = market;
                continue;
            }
            let index = self.rows.len() as u32;
            market.id = MarketId { venue, index };
            self.by_symbol.insert(market.symbol.clone(), index);
            self.by_venue_symbol.insert(market.venue_symbol.clone(), index);
            self.rows.push(market);
        }
        for (row, seen) in self.rows.iter_mut().zip(seen) {
            row.active &= seen;
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True before the list was loaded.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All markets, in the venue's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Market> {
        self.rows.iter()
    }

    /// The market behind a handle of this venue.
    pub fn market(&self, id: MarketId) -> Option<&Market> {
        self.rows.get(id.index as usize).filter(|market| market.id == id)
    }

    /// By unified name.
    pub fn by_symbol(&self, symbol: &str) -> Option<&Market> {
        self.by_symbol.get(symbol).map(|index| &self.rows[*index as usize])
    }

    /// By the venue's own spelling.
    pub fn by_venue_symbol(&self, symbol: &str) -> Option<&Market> {
        self.by_venue_symbol.get(symbol).map(|index| &self.rows[*index as usize])
    }

    /// The market that a user means: by unified name, else by the venue's spelling.
    ///
    /// # Errors
    /// [`ErrorKind::BadSymbol`], naming up to three markets that come near.
    pub fn resolve(&self, symbol: &str) -> Result<&Market, Error> {
        if let Some(market) = self.by_symbol(symbol).or_else(|| self.by_venue_symbol(symbol)) {
            return Ok(market);
        }
        let near = self.near(symbol);
        let hint = if near.is_empty() {
            format!("{} markets are known, none is spelled like it", self.len())
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        Err(Error::new(ErrorKind::BadSymbol, format!("no such market; {hint}")).with_symbol(symbol))
    }

    /// Up to three unified names that a misspelled symbol may have meant.
    fn near(&self, symbol: &str) -> Vec<&str> {
        let plain = |text: &str| -> String {
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
        };
        let wanted = plain(symbol);
        if wanted.len() < 2 {
            return Vec::new();
        }
        let mut scored: Vec<(usize, &str)> = self
            .rows
            .iter()
            .map(|market| (distance(&wanted, &plain(&market.symbol)), &*market.symbol))
            .filter(|(distance, _)| *distance <= wanted.len() / 3)
            .collect();
        scored.sort_unstable();
        scored.into_iter().take(3).map(|(_, symbol)| symbol).collect()
    }
}

/// Edit distance of two short ASCII texts.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(symbol: &str) -> Market {
        let (base, quote) = symbol.split_once('/').unwrap();
        Market::plain(MarketId { venue: VenueId(0), index: u32::MAX }, base, quote)
    }

    #[test]
    fn handles_survive_a_reload() {
        let mut markets = Markets::default();
        markets.merge(VenueId(3), vec![market("BTC/USDT"), market("ETH/USDT")]);
        let eth = markets.resolve("ETH/USDT").unwrap().id;
        markets.merge(VenueId(3), vec![market("SOL/USDT"), market("ETH/USDT")]);
        assert_eq!(markets.resolve("ETHUSDT").unwrap().id, eth);
        assert!(!markets.resolve("BTC/USDT").unwrap().active);
        assert!(markets.resolve("SOL/USDT").unwrap().active);
        assert_eq!(markets.market(eth).unwrap().id.venue(), VenueId(3));
    }

    #[test]
    fn misspelled_symbols_get_a_hint() {
        let mut markets = Markets::default();
        markets.merge(VenueId(0), vec![market("BTC/USDT"), market("ETH/USDT")]);
        let hint = markets.resolve("BTC/USDTT").unwrap_err().to_string();
        assert_eq!(hint, "BTC/USDTT: no such market; did you mean BTC/USDT?");
        let none = markets.resolve("XXXXYYYY").unwrap_err().to_string();
        assert_eq!(none, "XXXXYYYY: no such market; 2 markets are known, none is spelled like it");
    }
}
