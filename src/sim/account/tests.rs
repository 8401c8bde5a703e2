use super::super::market::MarketConfig;
use super::*;

const START: u64 = 1_700_000_000_000_000_000;

/// BTCUSDT with ticks of 0.01 and steps of 0.00001, ETHUSDT with steps of 0.0001.
fn market() -> Market {
    let symbols = super::super::market::symbols(2, "USDT");
    Market::new(&MarketConfig { seed: 4, symbols, levels: 20, updates_per_s: 10, history: 16, spans: &[] }, START)
}

fn account(market: &Market) -> Account {
    let symbols: Vec<Symbol> = (0..market.len()).map(|at| market.symbol(at).clone()).collect();
    Account::new(&AccountConfig::new(&symbols))
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn level(market: &Market, side: Side, at: usize) -> (Decimal, Decimal) {
    let (price, quantity) = market.levels(0, side).nth(at).unwrap();
    (Decimal::new(price, 2), Decimal::new(quantity, 5))
}

fn trade(price: Decimal, quantity: Decimal, time_ns: u64) -> Trade {
    let mantissa =
        |value: Decimal, scale: i64| i64::try_from((value * Decimal::from(scale)).trunc().mantissa()).unwrap();
    Trade {
        id: 1,
        price: mantissa(price, 100),
        qty: mantissa(quantity, 100_000),
        time_ns,
        buyer_is_maker: false,
        buyer_order: 1,
        seller_order: 2,
    }
}

fn has(account: &Account, asset: &str) -> (Decimal, Decimal) {
    let balance = account.balance(asset);
    (balance.free, balance.used)
}

/// The start, the ledger and the balances agree, and what is used is what open orders reserve.
fn audit(account: &Account, market: &Market) {
    for balance in account.balances() {
        let start = account.config.balances.iter().find(|(asset, _)| *asset == balance.asset).map(|(_, free)| *free);
        let changes: Decimal =
            account.ledger().filter(|entry| entry.asset == balance.asset).map(|entry| entry.change).sum();
        assert_eq!(balance.free + balance.used, start.unwrap_or_default() + changes, "{}", balance.asset);
        let reserved: Decimal = account
            .open_orders()
            .filter(|order| spent_asset(market.symbol(order.symbol), order.side) == balance.asset)
            .map(|order| account.reserved(market.symbol(order.symbol), order))
            .sum();
        assert_eq!(balance.used, reserved, "{}", balance.asset);
        assert!(balance.free >= Decimal::ZERO, "{balance:?}");
    }
}

#[test]
fn a_market_order_takes_the_levels_of_the_book() {
    let market = market();
    let mut account = account(&market);
    let (best, size) = level(&market, Side::Ask, 0);
    let (next, _) = level(&market, Side::Ask, 1);
    let amount = size + dec("0.00001");
    let order = NewOrder::market(0, Side::Bid, Amount::Base(amount));
    let id = account.place(&market, START, order).unwrap();
    let fills: Vec<(u64, Decimal, Decimal)> = account.fills().map(|fill| (fill.id, fill.price, fill.amount)).collect();
    assert_eq!(fills, [(FIRST_ID, best, size), (FIRST_ID + 1, next, dec("0.00001"))]);
    let order = account.order(id).unwrap();
    let cost = cut(best * size) + cut(next * dec("0.00001"));
    assert_eq!((order.status, order.filled, order.cost), (Status::Filled, amount, cost));
    let fees: Decimal = account.fills().map(|fill| fill.fee).sum();
    assert_eq!(fees, cut(size * dec("0.001")) + dec("0.00000001"));
    assert_eq!(has(&account, "BTC"), (dec("100") + amount - fees, Decimal::ZERO));
    assert_eq!(has(&account, "USDT"), (dec("1000000") - cost, Decimal::ZERO));
    let changes: Vec<Change> = account.take_events().into_iter().map(|event| event.change).collect();
    assert_eq!(changes, [Change::New, Change::Filled, Change::Filled]);
    audit(&account, &market);
}

#[test]
fn a_market_order_by_cost_spends_no_more_than_that() {
    let market = market();
    let mut account = account(&market);
    let (best, _) = level(&market, Side::Ask, 0);
    let id = account.place(&market, START, NewOrder::market(0, Side::Bid, Amount::Cost(dec("1000")))).unwrap();
    let amount = dec("1000") / best;
    let amount = amount - amount % dec("0.00001");
    let order = account.order(id).unwrap();
    assert_eq!(
        (order.status, order.amount, order.filled, order.cost),
        (Status::Filled, amount, amount, cut(best * amount))
    );
    account.place(&market, START, NewOrder::market(0, Side::Ask, Amount::Cost(dec("1000")))).unwrap();
    audit(&account, &market);
    account.transfer(START, "USDT", dec("100") - account.balance("USDT").free).unwrap();
    let order = NewOrder::market(0, Side::Bid, Amount::Cost(dec("200")));
    assert_eq!(account.place(&market, START, order), Err(Refusal::Funds));
    assert_eq!(account.transfer(START, "USDT", dec("-100.1")), Err(Refusal::Funds));
    audit(&account, &market);
}

#[test]
fn a_resting_order_is_filled_by_trades_at_its_price_or_through_it() {
    let market = market();
    let mut account = account(&market);
    let bid = level(&market, Side::Bid, 3).0;
    let order = |price| NewOrder::limit(0, Side::Bid, dec("0.5"), price);
    let far = account.place(&market, START, order(bid - dec("1"))).unwrap();
    let first = account.place(&market, START, order(bid)).unwrap();
    let second = account.place(&market, START + 1, order(bid)).unwrap();
    assert_eq!(has(&account, "USDT").1, bid * dec("1.5") - dec("0.5"));
    account.take_events();
    account.on_trade(&market, &trade(bid + dec("0.01"), dec("9"), START + 2), 0);
    assert!(account.take_events().is_empty(), "above all of them");
    account.on_trade(&market, &trade(bid, dec("9"), START + 2), 1);
    assert!(account.take_events().is_empty(), "another market");
    account.on_trade(&market, &trade(bid - dec("0.01"), dec("0.7"), START + 3), 0);
    let events = account.take_events();
    let fills: Vec<(u64, Decimal, Decimal, bool)> = events
        .iter()
        .filter_map(|event| event.fill.as_ref())
        .map(|fill| (fill.order_id, fill.price, fill.amount, fill.maker))
        .collect();
    assert_eq!(fills, [(first, bid, dec("0.5"), true), (second, bid, dec("0.2"), true)]);
    assert_eq!(account.order(first).unwrap().status, Status::Filled);
    assert_eq!(account.order(second).unwrap().remaining(), dec("0.3"));
    assert_eq!(account.order(far).unwrap().filled, Decimal::ZERO);
    assert_eq!(events[0].balances.len(), 2, "USDT and BTC, each once");
    audit(&account, &market);
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let market = market();
    let mut account = account(&market);
    let (bid, ask) = (level(&market, Side::Bid, 0).0, level(&market, Side::Ask, 0).0);
    let good = NewOrder { client_id: "a".to_owned(), ..NewOrder::limit(0, Side::Bid, dec("0.001"), bid - dec("10")) };
    let id = account.place(&market, START, good.clone()).unwrap();
    account.take_events();
    let before: Vec<Balance> = account.balances().collect();
    let limit = |amount: &str, price: Decimal| NewOrder::limit(0, Side::Bid, dec(amount), price);
    let stop = |price, above| NewOrder { stop: Some(Stop { price, above }), ..limit("0.001", bid) };
    for (order, refusal) in [
        (good, Refusal::Duplicate),
        (NewOrder { symbol: 2, ..limit("0.001", bid) }, Refusal::Symbol),
        (limit("0.001", bid + dec("0.001")), Refusal::Price),
        (limit("0.001", -bid), Refusal::Price),
        (limit("0.000001", bid), Refusal::Amount),
        (limit("0", bid), Refusal::Amount),
        (limit("9999999999999", bid), Refusal::Amount),
        (limit("0.00001", bid), Refusal::Cost),
        (limit("20", bid), Refusal::Funds),
        (NewOrder::limit(0, Side::Ask, dec("101"), ask), Refusal::Funds),
        (NewOrder::market(0, Side::Ask, Amount::Base(dec("101"))), Refusal::Funds),
        (NewOrder { price: None, ..limit("0.001", bid) }, Refusal::Combination),
        (NewOrder { post_only: true, ..limit("0.001", ask) }, Refusal::WouldMatch),
        (stop(bid - dec("1000"), true), Refusal::WouldTrigger),
        (stop(bid + dec("1000"), false), Refusal::WouldTrigger),
    ] {
        assert_eq!(account.place(&market, START, order.clone()), Err(refusal), "{order:?}");
    }
    assert_eq!(account.cancel(&market, START, 5), Err(Refusal::Unknown));
    for (amend, refusal) in [
        (Amend { price: Some(bid + dec("0.001")), ..Amend::default() }, Refusal::Price),
        (Amend { amount: Some(Decimal::ZERO), ..Amend::default() }, Refusal::Amount),
        (Amend { amount: Some(dec("0.00001")), ..Amend::default() }, Refusal::Cost),
        (Amend { amount: Some(dec("20")), ..Amend::default() }, Refusal::Funds),
    ] {
        assert_eq!(account.amend(&market, START, id, amend), Err(refusal));
    }
    assert_eq!(account.balances().collect::<Vec<_>>(), before);
    assert_eq!((account.take_events(), account.orders().len()), (vec![], 1));
    assert_eq!((account.asked(), account.duplicates()), (16, 1));
    account.cancel(&market, START, id).unwrap();
    assert_eq!(account.cancel(&market, START, id), Err(Refusal::Ended));
    assert_eq!(account.amend(&market, START, id, Amend::default()), Err(Refusal::Ended));
    assert_eq!(has(&account, "USDT"), (dec("1000000"), Decimal::ZERO));
}

#[test]
fn orders_that_do_not_rest_expire() {
    let market = market();
    let mut account = account(&market);
    let (ask, size) = level(&market, Side::Ask, 0);
    let order = |lasts, amount| NewOrder { lasts, ..NewOrder::limit(0, Side::Bid, amount, ask) };
    let more = size + dec("0.5");
    let id = account.place(&market, START, order(Lasts::Immediate, more)).unwrap();
    let it = account.order(id).unwrap();
    assert_eq!((it.status, it.filled), (Status::Expired, size));
    let id = account.place(&market, START, order(Lasts::AllOrNothing, more)).unwrap();
    let it = account.order(id).unwrap();
    assert_eq!((it.status, it.filled), (Status::Expired, Decimal::ZERO));
    let id = account.place(&market, START, order(Lasts::AllOrNothing, size)).unwrap();
    assert_eq!(account.order(id).unwrap().status, Status::Filled);
    let id = account.place(&market, START, order(Lasts::Resting, more)).unwrap();
    let it = account.order(id).unwrap();
    assert_eq!((it.status, it.remaining()), (Status::Open, dec("0.5")));
    assert_eq!(has(&account, "USDT").1, ask * dec("0.5"));
    audit(&account, &market);
    assert!(account.cancel_all(&market, START, Some(1)).is_empty());
    assert_eq!(account.cancel_all(&market, START, None), [id]);
    audit(&account, &market);
}

#[test]
fn an_amended_order_keeps_or_loses_its_place() {
    let market = market();
    let mut account = account(&market);
    let bid = level(&market, Side::Bid, 3).0;
    let order = NewOrder::limit(0, Side::Bid, dec("0.5"), bid);
    let first = account.place(&market, START, order.clone()).unwrap();
    let second = account.place(&market, START, order).unwrap();
    let less = Amend { amount: Some(dec("0.4")), client_id: Some("x".to_owned()), ..Amend::default() };
    account.amend(&market, START, first, less).unwrap();
    account.on_trade(&market, &trade(bid, dec("0.1"), START), 0);
    assert_eq!(account.order_named("x").unwrap().filled, dec("0.1"));
    account.amend(&market, START, first, Amend { amount: Some(dec("0.6")), ..Amend::default() }).unwrap();
    account.on_trade(&market, &trade(bid, dec("0.1"), START), 0);
    assert_eq!(account.order(second).unwrap().filled, dec("0.1"), "the first one lost its place");
    let too_little = Amend { amount: Some(dec("0.1")), ..Amend::default() };
    assert_eq!(account.amend(&market, START, first, too_little), Err(Refusal::Amount));
    // A price beyond the other side takes at once.
    let (ask, size) = level(&market, Side::Ask, 0);
    account.amend(&market, START, second, Amend { price: Some(ask), ..Amend::default() }).unwrap();
    assert_eq!(account.order(second).unwrap().filled, dec("0.1") + size.min(dec("0.4")));
    audit(&account, &market);
}

#[test]
fn stops_wait_for_the_market() {
    let market = market();
    let mut account = account(&market);
    let last = Decimal::new(market.last_trade(0).price, 2);
    let (up, down) = (last + dec("5"), last - dec("5"));
    let stop = |price, above| Some(Stop { price, above });
    let limit = NewOrder { stop: stop(down, false), ..NewOrder::limit(0, Side::Ask, dec("1"), last + dec("900")) };
    let limit = account.place(&market, START, limit).unwrap();
    let taker = NewOrder { stop: stop(up, true), ..NewOrder::market(0, Side::Bid, Amount::Base(dec("0.00100"))) };
    let taker = account.place(&market, START, taker).unwrap();
    assert_eq!(has(&account, "BTC"), (dec("99"), dec("1")));
    account.take_events();
    account.on_trade(&market, &trade(up - dec("0.01"), dec("1"), START), 0);
    assert!(account.take_events().is_empty());
    account.on_trade(&market, &trade(up, dec("1"), START), 0);
    assert_eq!(account.order(taker).unwrap().status, Status::Filled);
    account.on_trade(&market, &trade(down, dec("1"), START), 0);
    assert_eq!(account.order(limit).unwrap().status, Status::Open);
    audit(&account, &market);
    account.cancel(&market, START, limit).unwrap();
    audit(&account, &market);
}

#[test]
fn fees_in_the_quote_are_reserved() {
    let market = market();
    let symbols = super::super::market::symbols(2, "USDT");
    let config = AccountConfig { fee_in: FeeIn::Quote, taker_fee: dec("0.002"), ..AccountConfig::new(&symbols) };
    let mut account = Account::new(&config);
    let bid = level(&market, Side::Bid, 3).0;
    account.place(&market, START, NewOrder::limit(0, Side::Bid, dec("0.5"), bid)).unwrap();
    let cost = bid * dec("0.5");
    assert_eq!(has(&account, "USDT").1, cost * dec("1.002"));
    account.on_trade(&market, &trade(bid, dec("0.5"), START), 0);
    assert_eq!(has(&account, "USDT"), (dec("1000000") - cost - cut(cost * dec("0.001")), Decimal::ZERO));
    audit(&account, &market);
}

/// Everything at random for a while: the books of the account balance after each step.
#[test]
fn the_books_balance_whatever_happens() {
    let mut fills = [0, 0];
    for seed in 0..20 {
        let mut market = market();
        let mut account = account(&market);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut events = Vec::new();
        for round in 0..400 {
            let now_ns = START + round;
            let side = if rng.bool() { Side::Bid } else { Side::Ask };
            let price = level(&market, side, rng.usize(..8)).0 + Decimal::new(rng.i64(-500..500), 2);
            let amount = Decimal::new(rng.i64(10..200_000), 5);
            let mut order = NewOrder::limit(0, side, amount, price);
            order.lasts = [Lasts::Resting, Lasts::Immediate, Lasts::AllOrNothing][rng.usize(..3)];
            match rng.u32(..10) {
                0 => order = NewOrder::market(0, side, Amount::Base(amount)),
                1 => order = NewOrder::market(0, side, Amount::Cost(price)),
                2 => order.stop = Some(Stop { price: price + Decimal::new(rng.i64(-900..900), 2), above: rng.bool() }),
                _ => {}
            }
            let known = account.orders().len().max(1);
            let id = FIRST_ID + rng.u64(..known as u64);
            match rng.u32(..6) {
                0 => _ = account.cancel(&market, now_ns, id),
                1 => {
                    let amend = Amend { price: Some(price), amount: Some(amount), client_id: None };
                    _ = account.amend(&market, now_ns, id, amend);
                }
                _ => _ = account.place(&market, now_ns, order),
            }
            market.step(&mut events);
            for event in events.drain(..) {
                if let super::super::market::Event::Trade(index, trade) = event {
                    account.on_trade(&market, &trade, index);
                }
            }
            audit(&account, &market);
        }
        account.fills().for_each(|fill| fills[usize::from(fill.maker)] += 1);
    }
    assert!(fills.iter().all(|count| *count > 20), "{fills:?}");
}

#[test]
fn a_signature_is_as_others_reckon_it() {
    // Test case 2 of RFC 4231.
    assert_eq!(
        hmac_sha256_hex("Jefe", "what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}
