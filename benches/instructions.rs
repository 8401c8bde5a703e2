//! Instructions of a unit of work, counted by callgrind: exact, whatever else the machine does.
//!
//! Each case runs twice under `valgrind --tool=callgrind`, with a few units and with more of them, and the difference
//! over the units between is what one costs. Counts of wirebook are compared with `benches/instructions.json`: more than
//! 3 % above it fails. Where a rival does the same work, its count is taken too, and the ratio has a limit.
//!
//! Counts depend on which instructions the processor offers, because memchr and simd-json choose by that: the baseline
//! belongs to x86-64 with AVX2.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use crate::quit;

/// The baseline, beside this file.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");
/// More than this above the baseline is worse.
const WORSE_MAX: f64 = 1.03;

/// What is counted.
struct Counted {
    case: &'static str,
    /// Units of the two runs.
    units: (u32, u32),
    /// Who else is counted, and the most that wirebook may need of it.
    rival: Option<(&'static str, f64)>,
}

/// A third, and what processors may differ by.
const SIMD_JSON: Option<(&str, f64)> = Some(("simd-json-typed", 1.0 / 3.0 * WORSE_MAX));
/// A message of one level: most of what it costs is the engine's own part, which is the same for all. A third is the aim.
const SMALL: Option<(&str, f64)> = Some(("simd-json-typed", 1.0 / 2.2));
/// Where wirebook proves the book by the venue's checksum, and the rival proves nothing.
const PROVING: Option<(&str, f64)> = Some(("simd-json-typed", 1.0 / 1.9));
const BY_HAND: Option<(&str, f64)> = Some(("rustls-cursor", 1.0));

const COUNTED: &[Counted] = &[
    Counted { case: "decode/binance-depth", units: (100, 500), rival: SIMD_JSON },
    Counted { case: "decode/binance-futures-depth", units: (100, 400), rival: SIMD_JSON },
    Counted { case: "decode/binance-trade", units: (100, 500), rival: SIMD_JSON },
    Counted { case: "decode/binance-book-ticker", units: (100, 500), rival: SIMD_JSON },
    Counted { case: "decode/okx-books", units: (50, 200), rival: PROVING },
    Counted { case: "decode/okx-books-unproven", units: (50, 200), rival: SIMD_JSON },
    Counted { case: "decode/kraken-book", units: (100, 500), rival: PROVING },
    Counted { case: "decode/coinbase-l2", units: (100, 500), rival: SMALL },
    Counted { case: "stack/quote-100", units: (100, 500), rival: BY_HAND },
    Counted { case: "stack/depth-300", units: (100, 400), rival: BY_HAND },
    Counted { case: "stack/snapshot-55k", units: (1, 3), rival: BY_HAND },
    Counted { case: "checksums/okx-2-changes", units: (50, 200), rival: None },
    Counted { case: "checksums/okx-25-changes", units: (50, 200), rival: None },
    Counted { case: "checksums/kraken-1-change", units: (50, 200), rival: None },
    Counted { case: "books/400-levels", units: (500, 2_500), rival: None },
    Counted { case: "decimals/padded", units: (500, 2_500), rival: None },
    Counted { case: "decimals/short", units: (500, 2_500), rival: None },
    Counted { case: "json/binance-futures-depth", units: (100, 400), rival: None },
    Counted { case: "transport/ws-trusted-300", units: (100, 500), rival: None },
    Counted { case: "transport/tls-ws-300", units: (100, 500), rival: None },
    Counted { case: "transport/send-ws-tls-300", units: (100, 500), rival: None },
];

/// Counts, prints and judges. False if something became worse.
pub(crate) fn run(update: bool) -> bool {
    let jobs: Vec<(String, (u32, u32))> = COUNTED
        .iter()
        .flat_map(|row| {
            let contenders = ["wirebook"].into_iter().chain(row.rival.map(|rival| rival.0));
            contenders.map(|contender| (format!("{}/{contender}", row.case), row.units))
        })
        .collect();
    let counts = count_all(&jobs);
    let before = if update { BTreeMap::new() } else { baseline() };
    let mut wrong = Vec::new();
    println!(
        "{:40} {:>12} {:>9} {:>8} {:>12} {:>7}",
        "instructions a unit", "wirebook", "baseline", "change", "rival", "ratio"
    );
    for row in COUNTED {
        let name = format!("{}/wirebook", row.case);
        let ours = counts[&name];
        let was = before.get(row.case).copied();
        let change = was.map(|was| ours / was - 1.0);
        let rival = row.rival.map(|(rival, most)| (counts[&format!("{}/{rival}", row.case)], most, rival));
        println!(
            "{:40} {ours:12.1} {:>9} {:>8} {:>12} {:>7}",
            row.case,
            was.map_or("-".to_owned(), |was| format!("{was:.1}")),
            change.map_or("-".to_owned(), |change| format!("{:+.1} %", change * 100.0)),
            rival.map_or("-".to_owned(), |(theirs, ..)| format!("{theirs:.1}")),
            rival.map_or("-".to_owned(), |(theirs, ..)| format!("1/{:.2}", theirs / ours)),
        );
        match was {
            Some(was) if ours > was * WORSE_MAX => wrong.push(format!(
                "{}: {ours:.1} instructions, {:.1} % more than the {was:.1} of the baseline",
                row.case,
                (ours / was - 1.0) * 100.0
            )),
            None if !update => wrong.push(format!("{}: no baseline; write it with --update", row.case)),
            _ => {}
        }
        if let Some((theirs, most, rival)) = rival
            && ours > theirs * most
        {
            let promised = 1.0 / most;
            wrong.push(format!("{}: 1/{:.2} of {rival}, not 1/{promised:.2} as promised", row.case, theirs / ours));
        }
    }
    if update {
        let rows: BTreeMap<&str, f64> = COUNTED
            .iter()
            .map(|row| (row.case, (counts[&format!("{}/wirebook", row.case)] * 10.0).round() / 10.0))
            .collect();
        let text = serde_json::to_string_pretty(&rows).expect("names and numbers") + "\n";
        if let Err(error) = std::fs::write(BASELINE, text) {
            quit(&format!("{BASELINE}: {error}"));
        }
        println!("written to {BASELINE}");
    }
    wrong.iter().for_each(|line| println!("WORSE {line}"));
    update || wrong.is_empty()
}

fn baseline() -> BTreeMap<String, f64> {
    if !Path::new(BASELINE).exists() {
        return BTreeMap::new();
    }
    let text = std::fs::read_to_string(BASELINE).unwrap_or_else(|error| quit(&format!("{BASELINE}: {error}")));
    serde_json::from_str(&text).unwrap_or_else(|error| quit(&format!("{BASELINE}: {error}")))
}

/// As many at a time as there are processors.
fn count_all(jobs: &[(String, (u32, u32))]) -> BTreeMap<String, f64> {
    let (next, counts) = (Mutex::new(jobs.iter()), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some((name, (few, many))) = next.lock().unwrap().next() else { break };
                    let between = instructions(name, *many) - instructions(name, *few);
                    counts.lock().unwrap().insert(name.clone(), between / f64::from(many - few));
                }
            });
        }
    });
    counts.into_inner().unwrap()
}

/// Instructions inside `measured`, from what callgrind says at its end.
fn instructions(name: &str, units: u32) -> f64 {
    let program = std::env::current_exe().expect("this program has a path");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*common*measured*"])
        .arg(program)
        .args(["--only", name, "--units", &units.to_string()])
        .output();
    let run = run.unwrap_or_else(|error| quit(&format!("valgrind: {error}")));
    let text = String::from_utf8_lossy(&run.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<f64>().ok());
    match collected {
        Some(collected) if run.status.success() && collected > 0.0 => collected,
        _ => quit(&format!("{name} under valgrind: {}\n{text}", run.status)),
    }
}
