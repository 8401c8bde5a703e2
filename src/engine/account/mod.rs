//! What is known of an account: its orders, trades, balances, positions and ledger, and how news of each is taken in.
//!
//! News come twice and out of order: from the stream, from answers to our own requests, and by REST after a connection
//! was lost. So nothing here believes that news are new. What was filled never shrinks, an order that has ended does not
//! come back, a trade counts once however often it is told.
//!
//! No socket and no clock: the core calls this with rows that an adapter read.

mod check;
mod orders;

pub(crate) use check::{check, check_change};
pub(crate) use orders::Orders;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

use rust_decimal::Decimal;

use crate::model::{
    Balance, Code, Id, LedgerEntry, MarketId, Mono, MyTrade, Position, PositionSide, Ring, Transaction, Wall,
};

/// An account at one venue.
pub(crate) struct Account {
    pub(crate) orders: Orders,
    pub(crate) trades: Ring<MyTrade>,
    /// By the order as well: one who trades with himself has one id twice.
    trades_seen: Seen<(Option<MarketId>, Id, Id)>,
    /// When the last trade was made that is known, by the venue's clock.
    pub(crate) traded_until: Option<Wall>,
    balances: Vec<Balance>,
    /// When the stream last told a balance.
    balance_heard: HashMap<Code, Mono>,
    pub(crate) positions: Vec<Position>,
    pub(crate) ledger: Ring<LedgerEntry>,
    ledger_seen: Seen<Id>,
    pub(crate) transactions: Ring<Transaction>,
    transactions_known: HashMap<Id, Transaction>,
}

/// Trades, ledger entries and transactions that are told from those seen before.
const SEEN_MAX: usize = 16_384;

/// Currencies of which a balance is kept.
const CURRENCIES_MAX: usize = 4_096;

/// Positions that are kept.
const POSITIONS_MAX: usize = 4_096;

impl Account {
    pub(crate) fn new(orders_max: usize, rows_max: usize) -> Account {
        Account {
            orders: Orders::new(orders_max),
            trades: Ring::new(rows_max),
            trades_seen: Seen::new(SEEN_MAX),
            traded_until: None,
            balances: Vec::with_capacity(64),
            balance_heard: HashMap::with_capacity(64),
            positions: Vec::new(),
            ledger: Ring::new(rows_max),
            ledger_seen: Seen::new(SEEN_MAX),
            transactions: Ring::new(rows_max),
            transactions_known: HashMap::new(),
        }
    }

    /// Takes in a trade. False if it was known.
    pub(crate) fn on_trade(&mut self, trade: &MyTrade) -> bool {
        if !self.trades_seen.insert((trade.market, trade.id, trade.order)) {
            return false;
        }
        self.traded_until = self.traded_until.max(trade.venue_time);
        self.trades.push(*trade);
        true
    }

    /// All balances that are known, in the order in which they were first told.
    pub(crate) fn balances(&self) -> &[Balance] {
        &self.balances
    }

    /// Takes in a balance from the stream. The row that changed, if one did.
    pub(crate) fn on_balance(&mut self, row: &Balance, now: Mono) -> Option<usize> {
        if self.balance_heard.len() < CURRENCIES_MAX {
            self.balance_heard.insert(row.currency, now);
        }
        self.set_balance(row)
    }

    /// Takes in a balance by REST, asked for at `asked`. What the stream told since then is newer.
    pub(crate) fn on_balance_answer(&mut self, row: &Balance, asked: Mono) -> Option<usize> {
        if self.balance_heard.get(&row.currency).is_some_and(|heard| *heard >= asked) {
            return None;
        }
        self.set_balance(row)
    }

    /// So much more is free, or less. The row that changed.
    pub(crate) fn on_balance_change(&mut self, currency: Code, amount: Decimal, now: Mono) -> Option<usize> {
        let at = self.balance_at(currency)?;
        let row = &mut self.balances[at];
        row.free = Some(row.free.unwrap_or_default().saturating_add(amount));
        row.total = row.total.map(|total| total.saturating_add(amount));
        *row = row.completed();
        self.balance_heard.insert(currency, now);
        Some(at)
    }

    /// Currencies that an answer with all balances left out are held no more. Rows that changed go to `changed`.
    pub(crate) fn on_balances_end(&mut self, told: &[Balance], asked: Mono, changed: &mut Vec<usize>) {
        for at in 0..self.balances.len() {
            let row = self.balances[at];
            if told.iter().any(|told| told.currency == row.currency) {
                continue;
            }
            let zero = |old: Option<Decimal>| old.map(|_| Decimal::ZERO);
            let (free, used, total) = (zero(row.free), zero(row.used), zero(row.total));
            let gone = Balance { free, used, total, ..row };
            changed.extend(self.on_balance_answer(&gone, asked));
        }
    }

    fn set_balance(&mut self, row: &Balance) -> Option<usize> {
        let at = self.balance_at(row.currency)?;
        let old = self.balances[at];
        // A venue that tells only the total, or only what is free, leaves the rest unknown rather than stale.
        let new = row.completed();
        let new = Balance { debt: new.debt.or(old.debt), ..new };
        self.balances[at] = new;
        (new != old).then_some(at)
    }

    fn balance_at(&mut self, currency: Code) -> Option<usize> {
        if currency.is_none() {
            return None;
        }
        if let Some(at) = self.balances.iter().position(|row| row.currency == currency) {
            return Some(at);
        }
        if self.balances.len() >= CURRENCIES_MAX {
            return None;
        }
        self.balances.push(Balance { currency, ..Balance::default() });
        Some(self.balances.len() - 1)
    }

    /// Takes in a position. True if it changed.
    pub(crate) fn on_position(&mut self, row: &Position) -> bool {
        let same = |old: &Position| {
            old.market == row.market && old.id == row.id && (!row.hedged || old.side == row.side || row.side.is_none())
        };
        match self.positions.iter().position(same) {
            Some(at) => {
                let changed = self.positions[at] != *row;
                self.positions[at] = *row;
                changed
            }
            None if self.positions.len() < POSITIONS_MAX => {
                self.positions.push(*row);
                true
            }
            None => false,
        }
    }

    /// Takes in a ledger entry. False if it was known.
    pub(crate) fn on_ledger(&mut self, entry: &LedgerEntry) -> bool {
        let is_new = self.ledger_seen.insert(entry.id);
        if is_new {
            self.ledger.push(*entry);
        }
        is_new
    }

    /// Takes in a deposit or a withdrawal. True if it is new, or changed.
    pub(crate) fn on_transaction(&mut self, row: &Transaction) -> bool {
        let is_known = self.transactions_known.get(&row.id).map(|old| old == row);
        if is_known == Some(true) {
            return false;
        }
        if is_known.is_some() || self.transactions_known.len() < SEEN_MAX {
            self.transactions_known.insert(row.id, row.clone());
        }
        self.transactions.push(row.clone());
        true
    }
}

/// Positions that an answer with all of them left out are closed.
pub(crate) fn closed(old: &Position) -> Position {
    Position { side: None::<PositionSide>, contracts: Decimal::ZERO, ..*old }
}

/// The last `max` keys, each once. Memory is taken at the start.
struct Seen<K> {
    keys: HashSet<K>,
    order: VecDeque<K>,
    max: usize,
}

impl<K: Copy + Eq + Hash> Seen<K> {
    fn new(max: usize) -> Seen<K> {
        // Twice, so that the table never grows when as many went as came.
        Seen { keys: HashSet::with_capacity(max * 2), order: VecDeque::with_capacity(max), max }
    }

    /// False if it was there.
    fn insert(&mut self, key: K) -> bool {
        if !self.keys.insert(key) {
            return false;
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(key);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        Code::new(text.as_bytes()).unwrap()
    }

    fn balance(currency: &str, free: i64, used: i64) -> Balance {
        let (free, used) = (Some(Decimal::from(free)), Some(Decimal::from(used)));
        Balance { currency: code(currency), free, used, ..Balance::default() }
    }

    #[test]
    fn answers_do_not_overwrite_what_the_stream_told_since_they_were_asked_for() {
        let mut account = Account::new(4, 4);
        assert_eq!(account.on_balance_answer(&balance("BTC", 5, 1), Mono(10)), Some(0));
        assert_eq!(account.balances()[0].total, Some(Decimal::from(6)));
        assert_eq!(account.on_balance(&balance("BTC", 4, 1), Mono(20)), Some(0));
        assert_eq!(account.on_balance_answer(&balance("BTC", 5, 1), Mono(15)), None, "asked before the stream told");
        assert_eq!(account.balances()[0].free, Some(Decimal::from(4)));
        assert_eq!(account.on_balance_answer(&balance("BTC", 4, 1), Mono(30)), None, "nothing changed");
        assert_eq!(account.on_balance_change(code("BTC"), Decimal::from(-3), Mono(40)), Some(0));
        let row = account.balances()[0];
        assert_eq!((row.free, row.total), (Some(Decimal::ONE), Some(Decimal::TWO)));
        let mut changed = Vec::new();
        account.on_balances_end(&[], Mono(35), &mut changed);
        assert_eq!(changed.len(), 0, "the answer is older than the change");
        account.on_balances_end(&[], Mono(50), &mut changed);
        assert_eq!(changed, [0]);
        assert_eq!(account.balances()[0].total, Some(Decimal::ZERO));
        assert_eq!(account.on_balance(&Balance::default(), Mono(60)), None, "a currency without a name");
    }

    #[test]
    fn what_was_seen_is_remembered_within_bounds() {
        let mut seen = Seen::new(3);
        assert!(seen.insert(1) && seen.insert(2) && seen.insert(3));
        assert!(!seen.insert(1));
        assert!(seen.insert(4), "pushes 1 out");
        assert!(seen.insert(1));
        assert_eq!((seen.order.len(), seen.keys.len()), (3, 3));
    }
}
