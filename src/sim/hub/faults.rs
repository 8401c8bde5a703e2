//! Scripted faults, where they concern connections, requests and bytes; those of events are in [`Hub::publish`].

use super::super::faults::{Action, RequestVerdict, Who, WireFault};
use super::super::wire::Out;
use super::Hub;

impl Hub {
    /// Asks what becomes of a request, and how long its answer takes. `symbol` is empty where the request names none;
    /// `snapshot` says that it wants a book.
    pub(crate) fn judge_request(&mut self, path: &str, symbol: &str, snapshot: bool) -> RequestVerdict {
        let mut verdict = self.faults.on_request(self.now_ns, path, symbol, snapshot);
        let touched = verdict.status.is_some() || verdict.delay_ns > 0 || verdict.stale;
        self.counters.faults += u64::from(touched);
        let (least_ns, most_ns) = self.http_delay_ns;
        let delay_ns = self.rng.u64(least_ns..most_ns.max(least_ns) + 1);
        verdict.delay_ns = delay_ns.saturating_add(verdict.delay_ns);
        verdict
    }

    /// Whether a scripted fault closes new connections before a byte is exchanged.
    pub(in super::super) fn refuses(&mut self) -> bool {
        self.advance_faults();
        let refused = self.faults.refuses(self.now_ns);
        self.counters.faults += u64::from(refused);
        refused
    }

    /// Faults of bytes that are in force, with their end.
    pub(in super::super) fn wire_faults(&self, now_ns: u64) -> impl Iterator<Item = (WireFault, u64)> {
        self.wire_faults.iter().copied().filter(move |(_, until_ns)| now_ns < *until_ns)
    }

    pub(in super::super) fn advance_faults(&mut self) {
        let now_ns = self.now_ns;
        if self.faults.next_ns().is_some_and(|next_ns| next_ns <= now_ns) {
            self.faults.fire(now_ns, &mut self.actions);
            self.act();
        }
    }

    /// Does what the faults ask for.
    pub(super) fn act(&mut self) {
        let now_ns = self.now_ns;
        let actions = std::mem::take(&mut self.actions);
        for action in &actions {
            if let Action::Wire { fault, until_ns } = action {
                self.wire_faults.retain(|(_, until_ns)| now_ns < *until_ns);
                self.wire_faults.push((*fault, *until_ns));
            }
            let who = match action {
                Action::Close { who, .. }
                | Action::Cut { who }
                | Action::HalfOpen { who }
                | Action::Silence { who, .. } => *who,
                Action::Wire { .. } | Action::Shutdown { .. } => Who::All,
            };
            let mut concerned: Vec<u32> =
                (0..self.conns.len() as u32).filter(|index| self.conns[*index as usize].is_some()).collect();
            if who == Who::One && !concerned.is_empty() {
                concerned = vec![concerned[self.faults.pick(concerned.len())]];
            }
            for index in concerned {
                self.counters.faults += 1;
                match action {
                    Action::Close { code, .. } => self.end(index, Out::Close { code: *code, reason: String::new() }),
                    Action::Cut { .. } => self.end(index, Out::Cut),
                    Action::HalfOpen { .. } => self.end(index, Out::Stall),
                    Action::Wire { fault, until_ns } => self.send(index, Out::Wire(*fault, *until_ns)),
                    Action::Silence { until_ns, .. } => {
                        if let Some(conn) = self.conns[index as usize].as_mut() {
                            conn.silent_until_ns = conn.silent_until_ns.max(*until_ns);
                        }
                    }
                    Action::Shutdown { after_ns } => {
                        self.announce_shutdown(index);
                        if let Some(conn) = self.conns[index as usize].as_mut() {
                            conn.close_ns = conn.close_ns.min(now_ns.saturating_add(*after_ns));
                            conn.notice_ns = u64::MAX;
                        }
                        self.next_conn_ns = 0;
                    }
                }
            }
        }
        self.actions = actions;
        self.actions.clear();
    }
}
