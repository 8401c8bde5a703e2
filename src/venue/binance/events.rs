//! Events of the account, as they come on the WS-API socket and on the stream of a listen key.

use super::orders::{EDIT, invalid};
use super::rows::{average, balance, currency, kind_of_order, side, status, time_in_force};
use crate::json::Node;
use crate::model::{Fee, Liquidity, MyTrade, OrderStatus};
use crate::venue::shared::cut;
use crate::venue::trading::{Members, id};
use crate::venue::{Context, OrderRow, PrivateRow, PrivateRows};

/// What an event means; nothing for one that is not known.
pub(super) fn on_event(event: Node<'_>, venue: &'static str, cx: &Context<'_>, out: &mut PrivateRows) {
    match event.text("e") {
        "executionReport" => on_execution(event, venue, cx, out),
        // `{"e":"outboundAccountPosition","E":1564034571105,"u":1564034571073,"B":[{"a":"ETH","f":"10000.000000",
        // "l":"0.000000"}]}`: what changed only.
        "outboundAccountPosition" => {
            let rows = event.get("B").into_iter().flat_map(|rows| rows.iter());
            rows.filter_map(|row| balance(row, "a", "f", "l")).for_each(|row| out.push(PrivateRow::Balance(row)));
        }
        // `{"e":"balanceUpdate","E":1573200697110,"a":"BTC","d":"100.00000000","T":1573200697068}`
        "balanceUpdate" => {
            let currency = currency(event.text("a"));
            if let (Some(amount), false) = (event.money("d"), currency.is_none()) {
                out.push(PrivateRow::BalanceChange { currency, amount });
            }
        }
        // What is at one's disposal changed, and the message does not say by which rule.
        "externalLockUpdate" => out.push(PrivateRow::Gap),
        "eventStreamTerminated" | "listenKeyExpired" => out.push(PrivateRow::Expired),
        "serverShutdown" => out.push(PrivateRow::Shutdown),
        _ => {}
    }
}

/// `{"e":"executionReport","E":1499405658658,"s":"ETHBTC","c":"mUvoqJxFIILMdfAW5iGSOW","S":"BUY","o":"LIMIT","f":"GTC",
/// "q":"1.00000000","p":"0.10264410","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW","r":"NONE",
/// "i":4293153,"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"T":1499405658657,"t":-1,"I":8641984,
/// "w":true,"m":false,"O":1499405658657,"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000","W":1499405658657,"V":"NONE"}`
fn on_execution(event: Node<'_>, venue: &'static str, cx: &Context<'_>, out: &mut PrivateRows) {
    let (own, original, what) = (event.text("c"), event.text("C"), event.text("x"));
    if what == "CANCELED" && own.starts_with(EDIT) {
        // The first half of an edit of ours: the new order follows, or the answer says why there is none.
        return;
    }
    // A cancellation has an id of its own, and names that of the order. Binance Jersey wrote "null" for none.
    let keeps = what == "REPLACED" || matches!(original, "" | "null");
    let market = cx.market_of(event.text("s"));
    let (kind, post_only) = kind_of_order(event.text("o"));
    let (filled, cost) = (event.number("z"), event.money("Z").filter(|cost| !cost.is_sign_negative()));
    let traded = what == "TRADE";
    let status = status(event.text("X"));
    let row = OrderRow {
        id: event.id("i"),
        client_order_id: id(if keeps { own } else { original }),
        market,
        status,
        side: side(event.text("S")),
        kind,
        time_in_force: time_in_force(event.text("f")),
        post_only,
        price: event.positive("p"),
        trigger_price: event.positive("P"),
        amount: event.positive("q"),
        cost_ordered: event.positive("Q"),
        filled,
        cost,
        average: average(filled, cost),
        created: event.ms("O"),
        updated: event.ms("T"),
        last_trade: event.ms("T").filter(|_| traded),
        error: (status == Some(OrderStatus::Rejected)).then(|| invalid(&cut(event.text("r"))).at(venue).of_order()),
        ..OrderRow::default()
    };
    let trade = my_trade(event, &row);
    out.push(PrivateRow::Order(row));
    match trade {
        Some(trade) if traded => out.push(PrivateRow::MyTrade(trade)),
        // A fill that cannot be read must not be lost.
        None if traded => out.push(PrivateRow::Gap),
        _ => {}
    }
}

fn my_trade(event: Node<'_>, row: &OrderRow) -> Option<MyTrade> {
    let asset = event.text("N");
    let fee = event.money("n").filter(|_| !asset.is_empty());
    Some(MyTrade {
        id: event.id("t"),
        order: row.id,
        market: row.market,
        venue_time: row.updated,
        side: row.side?,
        price: event.number("L")?,
        amount: event.positive("l")?,
        cost: event.money("Y"),
        liquidity: event
            .get("m")
            .and_then(|m| m.bool().ok())
            .map(|m| if m { Liquidity::Maker } else { Liquidity::Taker }),
        fee: fee.map(|cost| Fee { currency: currency(asset), cost }),
        backfilled: false,
    })
}
