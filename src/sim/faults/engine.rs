//! Runs a script: when its faults happen, and what becomes of events, requests and connections.

use fastrand::Rng;

use super::{Amount, FAULTS_MAX, Fault, Script, Target, What, When, Who, WireFault};

/// What a fault asks of the venue at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Close { code: u16, who: Who },
    Cut { who: Who },
    HalfOpen { who: Who },
    Silence { who: Who, until_ns: u64 },
    Wire { fault: WireFault, until_ns: u64 },
    Shutdown { after_ns: u64 },
}

/// What becomes of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
    Twice,
    /// After the next event of the same stream.
    Later,
    Corrupt,
    BadChecksum,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestVerdict {
    pub(crate) status: Option<u16>,
    pub(crate) delay_ns: u64,
    pub(crate) stale: bool,
}

/// Runs a script. Time is an argument; nothing happens without a call.
#[derive(Debug)]
pub(crate) struct Engine {
    faults: Vec<(Fault, State)>,
    rng: Rng,
    quiet_ns: u64,
    lifetime_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// When it happens next by the clock; `u64::MAX` for never.
    next_ns: u64,
    /// How many events or requests it still concerns.
    armed: u32,
    /// Until when it concerns all of them.
    until_ns: u64,
}

impl Engine {
    pub(crate) fn new(script: &Script, seed: u64, start_ns: u64) -> Self {
        let mut engine = Engine {
            faults: Vec::with_capacity(script.faults.len().min(FAULTS_MAX)),
            rng: Rng::with_seed(seed ^ 0xfa01_7000),
            quiet_ns: u64::MAX,
            lifetime_ns: None,
        };
        for fault in script.faults.iter().take(FAULTS_MAX) {
            match (&fault.what, fault.when) {
                (What::Quiet { after_ns }, _) => engine.quiet_ns = start_ns.saturating_add(*after_ns),
                (What::Lifetime { age_ns }, _) => engine.lifetime_ns = Some(*age_ns),
                (_, when) => {
                    let next_ns = match when {
                        When::At(ns) | When::Every(ns) => start_ns.saturating_add(ns),
                        When::With(_) | When::Always => u64::MAX,
                    };
                    engine.faults.push((fault.clone(), State { next_ns, armed: 0, until_ns: 0 }));
                }
            }
        }
        engine
    }

    /// True when the script is empty, so that the venue can skip the rest.
    pub(crate) fn is_idle(&self) -> bool {
        self.faults.is_empty()
    }

    /// Age at which connections are closed, if the script says so.
    pub(crate) fn lifetime_ns(&self) -> Option<u64> {
        self.lifetime_ns
    }

    /// When the next fault happens by the clock.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let next = self.faults.iter().map(|(_, state)| state.next_ns).min()?;
        (next < self.quiet_ns).then_some(next)
    }

    /// Lets the faults happen whose time has come and appends what the venue has to do.
    pub(crate) fn fire(&mut self, now_ns: u64, actions: &mut Vec<Action>) {
        if now_ns >= self.quiet_ns {
            return;
        }
        for (fault, state) in &mut self.faults {
            while state.next_ns <= now_ns {
                let at_ns = state.next_ns;
                state.next_ns = match fault.when {
                    When::Every(every_ns) => at_ns.saturating_add(every_ns),
                    _ => u64::MAX,
                };
                begin(&fault.what, state, at_ns, self.quiet_ns, actions);
            }
        }
    }

    /// Asks what becomes of one data event.
    pub(crate) fn on_event(
        &mut self,
        now_ns: u64,
        symbol: &str,
        stream: &str,
        has_checksum: bool,
        actions: &mut Vec<Action>,
    ) -> Verdict {
        if now_ns >= self.quiet_ns {
            return Verdict::Pass;
        }
        let mut verdict = Verdict::Pass;
        for (fault, state) in &mut self.faults {
            let (target, hit) = match &fault.what {
                What::Silence { target: Target::Connection(_), .. } => (None, Verdict::Drop),
                What::Silence { target, .. } | What::Gap { target } => (Some(target), Verdict::Drop),
                What::Duplicate { target } => (Some(target), Verdict::Twice),
                What::Reorder { target } => (Some(target), Verdict::Later),
                What::Corrupt { target } => (Some(target), Verdict::Corrupt),
                What::BadChecksum { .. } if !has_checksum => continue,
                What::BadChecksum { target } => (Some(target), Verdict::BadChecksum),
                What::Http { .. } | What::Slow { .. } | What::Stale { .. } | What::Refuse { .. } => continue,
                _ => (None, Verdict::Pass),
            };
            if target.is_some_and(|target| !target.matches(symbol, stream)) {
                continue;
            }
            if let When::With(ppm) = fault.when
                && self.rng.u32(..1_000_000) < ppm
            {
                begin(&fault.what, state, now_ns, self.quiet_ns, actions);
            }
            if target.is_none() || (state.armed == 0 && now_ns >= state.until_ns) {
                continue;
            }
            // Silence swallows an event before anything else can happen to it, and does not use up the others.
            if verdict == Verdict::Pass {
                state.armed = state.armed.saturating_sub(1);
                verdict = hit;
            }
        }
        verdict
    }

    /// Asks what becomes of one request. `symbol` is empty where the request names none.
    pub(crate) fn on_request(&mut self, now_ns: u64, path: &str, symbol: &str, snapshot: bool) -> RequestVerdict {
        let mut verdict = RequestVerdict::default();
        if now_ns >= self.quiet_ns {
            return verdict;
        }
        for (fault, state) in &mut self.faults {
            let concerned = match &fault.what {
                What::Http { path: prefix, .. } | What::Slow { path: prefix, .. } => {
                    prefix.as_ref().is_none_or(|prefix| path.starts_with(prefix.as_str()))
                }
                What::Stale { symbol: only, .. } => {
                    snapshot && only.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(symbol))
                }
                _ => continue,
            };
            if !concerned {
                continue;
            }
            if let When::With(ppm) = fault.when
                && self.rng.u32(..1_000_000) < ppm
            {
                begin(&fault.what, state, now_ns, self.quiet_ns, &mut Vec::new());
            }
            if state.armed == 0 && now_ns >= state.until_ns {
                continue;
            }
            state.armed = state.armed.saturating_sub(1);
            match &fault.what {
                What::Http { status, .. } => verdict.status = verdict.status.or(Some(*status)),
                What::Slow { delay_ns, .. } => verdict.delay_ns = verdict.delay_ns.saturating_add(*delay_ns),
                _ => verdict.stale = true,
            }
        }
        verdict
    }

    /// Asks whether a new connection is refused.
    pub(crate) fn refuses(&mut self, now_ns: u64) -> bool {
        let mut refused = false;
        if now_ns < self.quiet_ns {
            for (fault, state) in &mut self.faults {
                if let What::Refuse { for_ns } = fault.what {
                    if let When::With(ppm) = fault.when
                        && self.rng.u32(..1_000_000) < ppm
                    {
                        refused = true;
                        state.until_ns = state.until_ns.max(now_ns.saturating_add(for_ns));
                    }
                    refused |= now_ns < state.until_ns;
                }
            }
        }
        refused
    }

    /// A random number below `end`, for what a fault leaves open.
    pub(crate) fn pick(&mut self, end: usize) -> usize {
        self.rng.usize(..end.max(1))
    }
}

/// Starts a fault: arms it, opens its window, or hands an action to the venue.
fn begin(what: &What, state: &mut State, now_ns: u64, quiet_ns: u64, actions: &mut Vec<Action>) {
    let until = |for_ns: u64| now_ns.saturating_add(for_ns).min(quiet_ns);
    match what {
        What::Silence { target: Target::Connection(who), for_ns } => {
            actions.push(Action::Silence { who: *who, until_ns: until(*for_ns) });
        }
        What::Silence { for_ns, .. } | What::Refuse { for_ns } => state.until_ns = until(*for_ns),
        What::Gap { .. }
        | What::Duplicate { .. }
        | What::Reorder { .. }
        | What::Corrupt { .. }
        | What::BadChecksum { .. } => state.armed = 1,
        What::Split { bytes, for_ns } => {
            actions.push(Action::Wire { fault: WireFault::Split(*bytes), until_ns: until(*for_ns) });
        }
        What::Glue { frames, for_ns } => {
            actions.push(Action::Wire { fault: WireFault::Glue(*frames), until_ns: until(*for_ns) });
        }
        What::Fragment { for_ns } => {
            actions.push(Action::Wire { fault: WireFault::Fragment, until_ns: until(*for_ns) });
        }
        What::HalfOpen { who } => actions.push(Action::HalfOpen { who: *who }),
        What::Close { code, who } => actions.push(Action::Close { code: *code, who: *who }),
        What::Cut { who } => actions.push(Action::Cut { who: *who }),
        What::Http { amount, .. } | What::Slow { amount, .. } | What::Stale { amount, .. } => match amount {
            Amount::Requests(count) => state.armed = *count,
            Amount::For(for_ns) => state.until_ns = until(*for_ns),
        },
        What::Shutdown { after_ns } => actions.push(Action::Shutdown { after_ns: *after_ns }),
        What::Lifetime { .. } | What::Quiet { .. } => {}
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for anything; ASCII case does not matter.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go back to: behind the last star, and one character further in the name.
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            back = Some((p, n));
        } else if pattern.get(p).is_some_and(|c| c.eq_ignore_ascii_case(&name[n])) {
            p += 1;
            n += 1;
        } else if let Some((star_p, star_n)) = back {
            p = star_p;
            n = star_n + 1;
            back = Some((star_p, star_n + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

impl Target {
    fn matches(&self, symbol: &str, stream: &str) -> bool {
        match self {
            Target::All => true,
            Target::Match(word) => word.eq_ignore_ascii_case(symbol) || glob(word, stream),
            Target::Connection(_) => false,
        }
    }
}
