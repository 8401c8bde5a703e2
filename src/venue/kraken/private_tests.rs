//! Private frames of the documentation in, exact rows out.

use super::private::{KrakenTrading, TRADING};
use super::rest::markets;
use crate::credentials::Credentials;
use crate::decimal::Fixed;
use crate::error::ErrorKind;
use crate::json::DocParser;
use crate::market::Markets;
use crate::model::{
    Balance, Code, Fee, Id, LedgerEntry, LedgerKind, Liquidity, MarketId, MyTrade, OrderKind, OrderStatus, TakerSide,
    TimeInForce, Transaction, TransactionKind, TransactionStatus, VenueId, Wall,
};
use crate::venue::PrivateChannel;
use crate::venue::shared::damaged;
use crate::venue::trading::{Context, OrderRow, PrivateRow, PrivateRows, Trading};
use rust_decimal::Decimal;

/// The bytes 0 to 63.
pub(super) const SECRET: &str =
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";

pub(super) fn adapter() -> KrakenTrading {
    KrakenTrading::new(Some(&Credentials::new("my-key", SECRET))).unwrap()
}

pub(super) fn sample_markets() -> Markets {
    let pair = |name: &str, wsname: &str, base: &str, quote: &str| {
        format!(
            r#""{name}":{{"wsname":"{wsname}","base":"{base}","quote":"{quote}","pair_decimals":1,"lot_decimals":8}}"#
        )
    };
    let list = [
        pair("XXBTZUSD", "XBT/USD", "XXBT", "ZUSD"),
        pair("XETHXXBT", "ETH/XBT", "XETH", "XXBT"),
        pair("XBTUSDT", "XBT/USDT", "XXBT", "USDT"),
        pair("ETHUSDT", "ETH/USDT", "XETH", "USDT"),
    ];
    let text = format!(r#"{{"error":[],"result":{{{}}}}}"#, list.join(","));
    let mut known = Markets::default();
    known.merge(VenueId(4), markets(&DocParser::new().parse(text.as_bytes()).unwrap()).unwrap());
    known
}

pub(super) fn context(markets: &Markets) -> Context<'_> {
    Context { now: Wall::from_ms(1_700_000_000_000), markets, token: "to/ken+" }
}

pub(super) fn market(markets: &Markets, symbol: &str) -> Option<MarketId> {
    Some(markets.by_symbol(symbol).unwrap().id)
}

pub(super) fn fixed(text: &str) -> Option<Fixed> {
    Some(text.parse().unwrap())
}

pub(super) fn money(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

pub(super) fn id(text: &str) -> Id {
    Id::new(text.as_bytes()).unwrap()
}

pub(super) fn code(text: &str) -> Code {
    Code::new(text.as_bytes()).unwrap()
}

pub(super) fn rows_of(adapter: &mut KrakenTrading, frame: &str) -> Vec<PrivateRow> {
    let mut out = PrivateRows::default();
    adapter.on_frame(frame.as_bytes(), &context(&sample_markets()), &mut out).unwrap();
    out.rows
}

fn rows(frame: &str) -> Vec<PrivateRow> {
    rows_of(&mut adapter(), frame)
}

/// Rows hold errors, which cannot be compared; what they show can.
#[track_caller]
pub(super) fn same(rows: &[PrivateRow], expected: &[PrivateRow]) {
    assert_eq!(format!("{rows:#?}"), format!("{expected:#?}"));
}

const PENDING: &str = r#"{"channel":"executions","type":"update","data":[{"order_id":"OK4GJX-KSTLS-7DZZO5","order_userref":3,"symbol":"BTC/USD","order_qty":0.005,"cum_cost":0.0,"time_in_force":"GTC","exec_type":"pending_new","side":"sell","order_type":"limit","limit_price_type":"static","limit_price":26500.0,"stop_price":0.0,"order_status":"pending_new","fee_usd_equiv":0.0,"fee_ccy_pref":"fciq","timestamp":"2023-09-22T10:33:05.709950Z"}],"sequence":8}"#;
const NEW: &str = r#"{"channel":"executions","type":"update","data":[{"timestamp":"2023-09-22T10:33:05.709982Z","order_status":"new","exec_type":"new","order_userref":3,"order_id":"OK4GJX-KSTLS-7DZZO5"}],"sequence":9}"#;
const TRADE: &str = r#"{"channel":"executions","type":"update","data":[{"order_id":"OK4GJX-KSTLS-7DZZO5","order_userref":3,"exec_id":"TGBB7L-HT5LX-J3BZ4A","exec_type":"trade","trade_id":62887576,"symbol":"BTC/USD","side":"sell","last_qty":0.005,"last_price":26599.9,"liquidity_ind":"t","cost":132.9995,"order_type":"limit","timestamp":"2023-09-22T10:33:05.709993Z","order_status":"partially_filled","cum_qty":0.005,"cum_cost":132.9995,"avg_price":26599.9,"fee_usd_equiv":0.3458,"fees":[{"asset":"USD","qty":0.3458}]}],"sequence":10}"#;
const CANCELED: &str = r#"{"channel":"executions","type":"update","data":[{"timestamp":"2025-10-11T15:11:47.695226Z","order_status":"canceled","exec_type":"canceled","order_userref":0,"order_id":"OGAB7Y-BKX5F-PTK5RW","cum_qty":0,"cum_cost":0,"fee_usd_equiv":0,"avg_price":0,"cancel_reason":"User requested","reason":"User requested"}],"sequence":11}"#;
const LEDGER: &str = r#"{"channel":"balances","type":"update","data":[{"ledger_id":"AAICKV-NMQSR-ZO5IJD","ref_id":"AGBB7L-HT5LX-J3BB4A","timestamp":"2023-09-22T10:33:05.710082Z","type":"trade","asset":"BTC","asset_class":"currency","category":"trade","wallet_type":"spot","wallet_id":"main","amount":-0.005,"fee":0.0,"balance":0.005}],"sequence":9}"#;

#[test]
fn an_order_from_its_first_row_to_its_fill() {
    let markets = sample_markets();
    let order = OrderRow { id: id("OK4GJX-KSTLS-7DZZO5"), status: Some(OrderStatus::Open), ..OrderRow::default() };
    let time = Some(Wall(1_695_378_785_709_950_000));
    let first = OrderRow {
        market: market(&markets, "BTC/USD"),
        side: Some(TakerSide::Sell),
        kind: Some(OrderKind::Limit),
        time_in_force: Some(TimeInForce::Gtc),
        price: fixed("26500"),
        amount: fixed("0.005"),
        created: time,
        updated: time,
        ..order.clone()
    };
    same(&rows(PENDING), &[PrivateRow::Order(first)]);
    let new = OrderRow { updated: Some(Wall(1_695_378_785_709_982_000)), ..order.clone() };
    same(&rows(NEW), &[PrivateRow::Order(new)]);
    let time = Some(Wall(1_695_378_785_709_993_000));
    let filled = OrderRow {
        market: market(&markets, "BTC/USD"),
        side: Some(TakerSide::Sell),
        filled: fixed("0.005"),
        cost: money("132.9995"),
        average: money("26599.9"),
        updated: time,
        last_trade: time,
        ..order.clone()
    };
    let trade = MyTrade {
        id: id("TGBB7L-HT5LX-J3BZ4A"),
        order: order.id,
        market: market(&markets, "BTC/USD"),
        venue_time: time,
        side: TakerSide::Sell,
        price: fixed("26599.9").unwrap(),
        amount: fixed("0.005").unwrap(),
        cost: money("132.9995"),
        liquidity: Some(Liquidity::Taker),
        fee: Some(Fee { currency: code("USD"), cost: money("0.3458").unwrap() }),
        backfilled: false,
    };
    same(&rows(TRADE), &[PrivateRow::Order(filled.clone()), PrivateRow::MyTrade(trade)]);
    let closed = r#"{"channel":"executions","type":"update","data":[{"timestamp":"2023-09-22T10:33:05.709993Z","order_status":"filled","exec_type":"filled","order_id":"OK4GJX-KSTLS-7DZZO5","cum_qty":0.005,"cum_cost":132.9995,"avg_price":26599.9}],"sequence":11}"#;
    let closed_row =
        OrderRow { status: Some(OrderStatus::Closed), market: None, side: None, last_trade: None, ..filled };
    same(&rows(closed), &[PrivateRow::Order(closed_row)]);
    let maker = rows(&TRADE.replace(r#""t""#, r#""m""#).replace("update", "snapshot"));
    assert!(
        matches!(&maker[1], PrivateRow::MyTrade(trade) if trade.liquidity == Some(Liquidity::Maker) && trade.backfilled)
    );
    // A trade of which something is missing has to be fetched.
    let rows = rows(&TRADE.replace("last_price", "price"));
    assert!(matches!(rows[..], [PrivateRow::Order(_), PrivateRow::Gap]));
}

#[test]
fn a_canceled_order_says_why_only_where_it_was_a_refusal() {
    let canceled = OrderRow {
        id: id("OGAB7Y-BKX5F-PTK5RW"),
        status: Some(OrderStatus::Canceled),
        updated: Some(Wall(1_760_195_507_695_226_000)),
        ..OrderRow::default()
    };
    same(&rows(CANCELED), &[PrivateRow::Order(canceled.clone())]);
    let post_only = rows(&CANCELED.replace(r#""reason":"User requested""#, r#""reason":"Post only order""#));
    let [PrivateRow::Order(OrderRow { error: Some(error), .. })] = &post_only[..] else { panic!("{post_only:?}") };
    assert_eq!((error.kind(), error.venue()), (ErrorKind::OrderImmediatelyFillable, Some("kraken")));
    let expired = rows(&CANCELED.replace(r#""order_status":"canceled""#, r#""order_status":"expired""#));
    same(&expired, &[PrivateRow::Order(OrderRow { status: Some(OrderStatus::Expired), ..canceled })]);
}

#[test]
fn what_an_order_is_stands_in_its_first_row() {
    let frame = r#"{"channel":"executions","type":"snapshot","data":[{"order_id":"O1","cl_ord_id":"wb0000000000000001","symbol":"ETH/BTC","side":"buy","order_type":"stop-loss-limit","order_qty":2,"limit_price":0.05,"time_in_force":"IOC","post_only":true,"reduce_only":false,"exec_type":"new","order_status":"new","triggers":{"reference":"last","price":0.06,"price_type":"static","status":"untriggered"},"timestamp":"2023-09-22T10:33:05Z"},{"order_id":"O2","symbol":"NEW/COIN","side":"buy","order_type":"market","cash_order_qty":100.5,"exec_type":"new","order_status":"strange"},{"order_id":"O3","order_type":"trailing-stop-limit","limit_price":1,"limit_price_type":"pct","triggers":{"price":5,"price_type":"pct"},"exec_type":"amended"}],"sequence":1}"#;
    let markets = sample_markets();
    let time = Some(Wall(1_695_378_785_000_000_000));
    let first = OrderRow {
        id: id("O1"),
        client_order_id: id("wb0000000000000001"),
        market: market(&markets, "ETH/BTC"),
        status: Some(OrderStatus::Open),
        side: Some(TakerSide::Buy),
        kind: Some(OrderKind::StopLimit),
        time_in_force: Some(TimeInForce::Ioc),
        post_only: Some(true),
        reduce_only: Some(false),
        price: fixed("0.05"),
        trigger_price: fixed("0.06"),
        amount: fixed("2"),
        created: time,
        updated: time,
        ..OrderRow::default()
    };
    let second = OrderRow {
        id: id("O2"),
        side: Some(TakerSide::Buy),
        kind: Some(OrderKind::Market),
        cost_ordered: fixed("100.5"),
        ..OrderRow::default()
    };
    // Prices in percent of another are not prices.
    let third = OrderRow { id: id("O3"), kind: Some(OrderKind::StopLimit), ..OrderRow::default() };
    same(&rows(frame), &[first, second, third].map(PrivateRow::Order));
}

#[test]
fn balances_and_the_ledger() {
    let balance = |name: &str, total: &str| {
        PrivateRow::Balance(Balance { currency: code(name), total: money(total), ..Balance::default() })
    };
    let snapshot = r#"{"channel":"balances","data":[{"asset":"BTC","asset_class":"currency","balance":1.2,"wallets":[{"type":"spot","id":"main","balance":1.2}]},{"asset":"MATIC","asset_class":"currency","balance":500,"wallets":[{"type":"earn","id":"flex","balance":200},{"type":"spot","id":"main","balance":300}]},{"asset":"USD","balance":80595.4943}],"type":"snapshot","sequence":1}"#;
    same(&rows(snapshot), &[balance("BTC", "1.2"), balance("MATIC", "300"), balance("USD", "80595.4943")]);
    let entry = LedgerEntry {
        reference: id("AGBB7L-HT5LX-J3BB4A"),
        after: money("0.005"),
        fee: money("0.0"),
        venue_time: Some(Wall(1_695_378_785_710_082_000)),
        ..LedgerEntry::new(id("AAICKV-NMQSR-ZO5IJD"), LedgerKind::Trade, code("BTC"), money("-0.005").unwrap())
    };
    same(&rows(LEDGER), &[balance("BTC", "0.005"), PrivateRow::Ledger(entry)]);
    let earn = rows(&LEDGER.replace(r#""wallet_type":"spot""#, r#""wallet_type":"earn""#));
    same(&earn, &[PrivateRow::Ledger(entry)]);
    let known = Transaction {
        status: TransactionStatus::Pending,
        created: entry.venue_time,
        updated: entry.venue_time,
        ..Transaction::new(entry.reference, TransactionKind::Withdrawal, code("BTC"), money("0.005").unwrap())
    };
    let withdrawal =
        LEDGER.replace(r#""type":"trade""#, r#""type":"withdrawal""#).replace(r#""fee":0.0"#, r#""fee":0.0001"#);
    let fee = Some(Fee { currency: code("BTC"), cost: money("0.0001").unwrap() });
    let last = rows(&withdrawal).pop().unwrap();
    same(&[last], &[PrivateRow::Transaction(Transaction { fee, ..known.clone() })]);
    let back = rows(&withdrawal.replace("-0.005", "0.005")).pop().unwrap();
    same(
        &[back],
        &[PrivateRow::Transaction(Transaction { fee, status: TransactionStatus::Canceled, ..known.clone() })],
    );
    let deposit = rows(&withdrawal.replace("withdrawal", "deposit").replace("-0.005", "0.005")).pop().unwrap();
    let (kind, status) = (TransactionKind::Deposit, TransactionStatus::Ok);
    same(&[deposit], &[PrivateRow::Transaction(Transaction { fee, kind, status, ..known })]);
}

#[test]
fn a_number_that_is_left_out_is_a_gap_on_its_own_channel() {
    let mut adapter = adapter();
    let mut is_gap = |frame: &str| matches!(rows_of(&mut adapter, frame).first(), Some(PrivateRow::Gap));
    assert!(!is_gap(PENDING), "the first one that is seen");
    assert!(!is_gap(LEDGER), "the other channel counts for itself");
    assert!(!is_gap(NEW) && !is_gap(TRADE));
    let later = CANCELED.replace(r#""sequence":11"#, r#""sequence":13"#);
    assert!(is_gap(&later));
    assert!(is_gap(&later), "twice the same number is none that follows");
    assert!(!is_gap(&later.replace("13", "14")), "once is enough");
    assert!(!is_gap(r#"{"channel":"executions","type":"snapshot","data":[],"sequence":1}"#), "begins anew");
    assert!(!is_gap(&later.replace("13", "2")));
    adapter.reset();
    assert_eq!(rows_of(&mut adapter, &later).len(), 1, "another connection");
}

#[test]
fn what_has_nothing_to_say_gives_no_rows() {
    for frame in [
        r#"{"channel":"heartbeat"}"#,
        r#"{"method":"pong","req_id":101,"time_in":"..","time_out":".."}"#,
        r#"{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2","connection_id":6447481662169813000}]}"#,
        r#"{"channel":"something","type":"update","data":[{}]}"#,
        r#"{"success":false,"error":"Malformed request"}"#,
        r#"{"method":"add_order","req_id":0}"#,
        r#"{"method":"something_new","req_id":0,"success":true,"result":{}}"#,
        r#"{"req_id":0,"success":true}"#,
        "{}",
        "[]",
        "7",
    ] {
        same(&rows(frame), &[]);
    }
    let mut out = PrivateRows::default();
    assert!(adapter().on_frame(b"{\"channel\":", &context(&sample_markets()), &mut out).is_err());
}

#[test]
fn two_channels_serve_all_and_are_confirmed_by_name() {
    use PrivateChannel::*;
    let markets = sample_markets();
    let (mut adapter, mut out) = (adapter(), Vec::new());
    adapter.subscribe(&[Ledger, Orders, MyTrades, Positions], 7, &context(&markets), &mut out);
    let texts: Vec<_> = out.iter().map(|message| std::str::from_utf8(message).unwrap()).collect();
    assert_eq!(
        texts,
        [
            r#"{"method":"subscribe","params":{"channel":"executions","snap_orders":true,"snap_trades":false,"order_status":true,"token":"to/ken+"},"req_id":7}"#,
            r#"{"method":"subscribe","params":{"channel":"balances","snapshot":true,"token":"to/ken+"},"req_id":8}"#,
        ]
    );
    let ack = r#"{"method":"subscribe","result":{"channel":"executions","maxratecount":180,"snapshot":true},"success":true,"time_in":"..","time_out":"..","req_id":7}"#;
    same(&rows_of(&mut adapter, ack), &[PrivateRow::Confirmed(Orders), PrivateRow::Confirmed(MyTrades)]);
    let refused = r#"{"error":"ESession:Invalid session","method":"subscribe","success":false,"time_in":"..","time_out":"..","req_id":8}"#;
    let rows = rows_of(&mut adapter, refused);
    let [PrivateRow::ChannelRefused(Ledger, error)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((error.kind(), error.code()), (ErrorKind::AuthenticationError, Some("ESession")));
    // A second channel of ours on what is subscribed already.
    adapter.subscribe(&[Balance], 9, &context(&markets), &mut out);
    let twice = r#"{"error":"Already subscribed","method":"subscribe","success":false,"req_id":9}"#;
    same(&rows_of(&mut adapter, twice), &[PrivateRow::Confirmed(Balance)]);
    adapter.reset();
    same(&rows_of(&mut adapter, ack), &[]);
}

#[test]
fn damaged_frames_never_panic() {
    let markets = sample_markets();
    let (mut adapter, mut out, mut read) = (adapter(), PrivateRows::default(), 0);
    let refused = r#"{"error":"EOrder:Unknown order","method":"cancel_order","success":false,"req_id":3}"#;
    damaged(&[PENDING, NEW, TRADE, CANCELED, LEDGER, refused], 20_000, |frame| {
        out.clear();
        read += usize::from(adapter.on_frame(frame, &context(&markets), &mut out).is_ok());
    });
    assert!((2_000..18_000).contains(&read), "{read}");
}

#[test]
fn the_table_says_what_the_adapter_does() {
    assert!(TRADING.needs_token && !TRADING.needs_login && TRADING.asks_balance && !TRADING.fills_add_up);
    let opened = (TRADING.open)(None).unwrap();
    assert_eq!(opened.socket_path(&context(&sample_markets())), "/v2");
    let error = (TRADING.open)(Some(&Credentials::new("key", "no base64!"))).err().unwrap();
    assert_eq!((error.kind(), error.venue()), (ErrorKind::AuthenticationError, Some("kraken")));
}
