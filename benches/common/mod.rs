//! The harness: cases of several contenders that do the same work, in interleaved rounds.
//!
//! A round lets each contender in turn do the same units of work from the same start, and takes the processor time of
//! the thread. Reported is the median of the rounds with its quartiles, and the ratio of medians to the first
//! contender, which is wirebook. Before anything is timed all contenders of a case have to agree on every outcome.

pub(crate) mod counting;
pub(crate) mod frames;
pub(crate) mod live;
pub(crate) mod recorded;
pub(crate) mod tls;
pub(crate) mod walk;

use std::hint::black_box;

use counting::{allocated, thread_cpu_ns};

/// Something that can do units of work, and say what came out.
pub(crate) trait Contender {
    /// What a unit leaves to look at: the top of a book, mostly.
    type Outcome;

    /// Back to the start. Not measured.
    fn restart(&mut self) {}

    /// Does the next unit.
    fn step(&mut self, unit: usize) -> Self::Outcome;

    /// The outcome as numbers that are equal for all contenders. Not measured.
    fn numbers(&self, outcome: Self::Outcome) -> [i64; 4];
}

/// A contender whose type is forgotten: the loop over the units stays inside, so no call of a unit is dynamic.
pub(crate) trait Runner {
    /// Back to the start.
    fn restart(&mut self);

    /// Does this many units.
    fn run(&mut self, units: usize);

    /// Does this many units and folds all outcomes into one number.
    fn fold(&mut self, units: usize) -> i64;

    /// The outcome of the last of this many units.
    fn last(&mut self, units: usize) -> [i64; 4];
}

impl<C: Contender> Runner for C {
    fn restart(&mut self) {
        Contender::restart(self);
    }

    fn run(&mut self, units: usize) {
        for unit in 0..units {
            black_box(self.step(unit));
        }
    }

    fn fold(&mut self, units: usize) -> i64 {
        let mut fold = 0_i64;
        for unit in 0..units {
            let outcome = self.step(unit);
            for number in self.numbers(outcome) {
                fold = fold.rotate_left(7).wrapping_mul(31).wrapping_add(number);
            }
        }
        fold
    }

    fn last(&mut self, units: usize) -> [i64; 4] {
        let mut numbers = [0; 4];
        for unit in 0..units {
            let outcome = self.step(unit);
            numbers = self.numbers(outcome);
        }
        numbers
    }
}

/// Makes a contender when it is wanted.
pub(crate) type Open = Box<dyn FnOnce() -> Box<dyn Runner>>;

/// Work that several contenders do, the first of them being wirebook.
pub(crate) struct Case {
    /// `group/what`.
    pub(crate) name: String,
    /// Units of a round: frames, numbers, changes.
    pub(crate) units: usize,
    /// Contenders by name; all are handed the same units. The argument is how many will be done at most.
    pub(crate) contenders: Box<dyn Fn(usize) -> Contenders>,
}

/// The contenders of a case.
pub(crate) struct Contenders {
    /// Mean length of a unit.
    pub(crate) bytes: f64,
    /// By name.
    pub(crate) list: Vec<(&'static str, Open)>,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        units: usize,
        contenders: impl Fn(usize) -> Contenders + 'static,
    ) -> Case {
        Case { name: name.into(), units, contenders: Box::new(contenders) }
    }
}

impl Contenders {
    pub(crate) fn new(bytes: f64) -> Contenders {
        Contenders { bytes, list: Vec::new() }
    }

    pub(crate) fn with<R: Runner + 'static>(
        mut self,
        name: &'static str,
        open: impl FnOnce() -> R + 'static,
    ) -> Contenders {
        self.list.push((name, Box::new(move || Box::new(open()))));
        self
    }
}

/// What was measured of one contender.
#[derive(serde::Serialize)]
pub(crate) struct Measured {
    pub(crate) case: String,
    pub(crate) contender: &'static str,
    pub(crate) bytes: f64,
    /// Nanoseconds a unit: lower quartile, median, upper quartile.
    pub(crate) ns: [f64; 3],
    /// Median to the median of the first contender.
    pub(crate) ratio: f64,
    pub(crate) allocations: f64,
    pub(crate) bytes_allocated: f64,
}

/// A contender with what was measured of it so far.
struct Entry {
    name: &'static str,
    runner: Box<dyn Runner>,
    times: Vec<f64>,
    allocated: (u64, u64),
}

/// Runs all contenders of a case, `rounds` rounds of them.
pub(crate) fn measure(case: &Case, rounds: usize, units: usize) -> Vec<Measured> {
    let Contenders { bytes, list } = (case.contenders)(units);
    let open = |(name, open): (_, Open)| Entry { name, runner: open(), times: Vec::new(), allocated: (0, 0) };
    let mut entries: Vec<Entry> = list.into_iter().map(open).collect();
    agree(&case.name, &mut entries, units);
    for _ in 0..rounds {
        for entry in &mut entries {
            entry.runner.restart();
            let (start, before) = (thread_cpu_ns(), allocated());
            entry.runner.run(units);
            let (end, after) = (thread_cpu_ns(), allocated());
            entry.times.push((end - start) as f64 / units as f64);
            entry.allocated = (after.0 - before.0, after.1 - before.1);
        }
    }
    let mut first = None;
    let row = |Entry { name, mut times, allocated, .. }: Entry| {
        times.sort_by(f64::total_cmp);
        let ns = [times[times.len() / 4], times[times.len() / 2], times[times.len() * 3 / 4]];
        let ratio = ns[1] / *first.get_or_insert(ns[1]);
        let [allocations, bytes_allocated] = [allocated.0, allocated.1].map(|sum| sum as f64 / units as f64);
        Measured { case: case.name.clone(), contender: name, bytes, ns, ratio, allocations, bytes_allocated }
    };
    entries.into_iter().map(row).collect()
}

/// Ends the program if two contenders differ in any outcome: whoever is wrong may not be called fast.
fn agree(case: &str, entries: &mut [Entry], units: usize) {
    let fold = |entry: &mut Entry, units| {
        entry.runner.restart();
        entry.runner.fold(units)
    };
    let Some((first, rest)) = entries.split_first_mut() else { return };
    let wanted = fold(first, units);
    for entry in rest {
        if fold(entry, units) == wanted {
            continue;
        }
        let at = (1..=units).find(|n| fold(first, *n) != fold(entry, *n)).unwrap_or(units);
        let [ours, theirs] = [&mut *first, entry].map(|entry| {
            entry.runner.restart();
            (entry.name, entry.runner.last(at))
        });
        panic!("{case}: unit {} leaves {ours:?} but {theirs:?}", at - 1);
    }
}

/// Runs one contender over `units` units inside [`measured`], and nothing else there: for callgrind.
pub(crate) fn run_one(case: &Case, contender: &str, units: usize) {
    let list = (case.contenders)(units).list;
    let Some((_, open)) = list.into_iter().find(|(name, _)| *name == contender) else {
        panic!("{} has no contender {contender:?}", case.name);
    };
    let mut runner = open();
    runner.restart();
    measured(&mut *runner, units);
}

/// Callgrind counts while this function runs.
#[inline(never)]
pub(crate) fn measured(runner: &mut dyn Runner, units: usize) {
    runner.run(units);
}
