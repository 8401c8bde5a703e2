//! The names that Kraken has for assets and pairs: REST, both versions of the stream, and accounts spell them differently.

use std::collections::HashMap;

use crate::market::Markets;
use crate::model::{Code, MarketId};
use crate::venue::trading;

/// The unified code of an asset. Old names carry an X or a Z in front; which ones is known by list, not by rule.
pub(super) fn code(asset: &str) -> &str {
    match asset {
        "XBT" | "XXBT" => "BTC",
        "XDG" | "XXDG" => "DOGE",
        "XETH" => "ETH",
        "XETC" => "ETC",
        "XLTC" => "LTC",
        "XMLN" => "MLN",
        "XREP" | "REPV2" => "REP",
        "REP" => "REPV1",
        "XXLM" => "XLM",
        "XXMR" => "XMR",
        "XXRP" => "XRP",
        "XZEC" => "ZEC",
        "ZUSD" => "USD",
        "ZEUR" => "EUR",
        "ZGBP" => "GBP",
        "ZCAD" => "CAD",
        "ZAUD" => "AUD",
        "ZJPY" => "JPY",
        "LUNA" => "LUNC",
        "LUNA2" => "LUNA",
        "UST" => "USTC",
        "FEE" => "KFEE",
        other => other,
    }
}

/// The asset behind a unified code, as requests take it.
pub(super) fn asset_of(code: &str) -> &str {
    match code {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        "REP" => "REPV2",
        "REPV1" => "REP",
        "LUNC" => "LUNA",
        "LUNA" => "LUNA2",
        "USTC" => "UST",
        "KFEE" => "FEE",
        other => other,
    }
}

/// The unified code of what an account holds. What earns something has an ending, `XBT.F`, and is another balance.
pub(super) fn unified(asset: &str) -> Code {
    match asset.split_once('.') {
        Some((name, ending)) => trading::code(&format!("{}.{ending}", code(name))),
        None => trading::code(code(asset)),
    }
}

/// The symbol of version 2, which writes two assets as everybody does: `BTC/USD` for `XBT/USD`.
pub(super) fn v2_symbol(wsname: &str) -> String {
    let mut out = Vec::with_capacity(wsname.len());
    push_v2_symbol(wsname, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The same, appended to `out`.
pub(super) fn push_v2_symbol(wsname: &str, out: &mut Vec<u8>) {
    let asset = |asset| match asset {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    };
    let Some((base, quote)) = wsname.split_once('/') else {
        return out.extend_from_slice(wsname.as_bytes());
    };
    out.extend_from_slice(asset(base).as_bytes());
    out.push(b'/');
    out.extend_from_slice(asset(quote).as_bytes());
}

/// The name of a pair that REST takes: `XBTUSD` for `XBT/USD`.
pub(super) fn rest_pair(wsname: &str) -> String {
    wsname.replace('/', "")
}

/// Finds a market by any name of its pair: `XBT/USD`, `BTC/USD`, `XBTUSD`, `XXBTZUSD`.
#[derive(Default)]
pub(super) struct Pairs {
    by_name: HashMap<Box<str>, MarketId>,
    /// How many markets there were when the names were made.
    markets_len: usize,
}

impl Pairs {
    /// Learns of new markets. Markets are never forgotten and keep their handles, so that their number tells.
    pub(super) fn refresh(&mut self, markets: &Markets) {
        if self.markets_len == markets.len() {
            return;
        }
        self.markets_len = markets.len();
        for market in markets.iter() {
            let name = &*market.venue_symbol;
            let mut insert = |name: String| {
                self.by_name.entry(name.into()).or_insert(market.id);
            };
            insert(name.to_owned());
            insert(v2_symbol(name));
            insert(rest_pair(name));
            if let Some((base, quote)) = name.split_once('/') {
                insert(format!("{}{base}{}{quote}", old_prefix(base), old_prefix(quote)));
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<MarketId> {
        self.by_name.get(name).copied()
    }
}

/// What stands in front of an old asset in the names of pairs.
fn old_prefix(asset: &str) -> &'static str {
    match asset {
        "XBT" | "ETH" | "ETC" | "LTC" | "MLN" | "REP" | "XDG" | "XLM" | "XMR" | "XRP" | "ZEC" => "X",
        "USD" | "EUR" | "GBP" | "CAD" | "AUD" | "JPY" => "Z",
        _ => "",
    }
}
