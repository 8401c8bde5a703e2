//! Tables in Markdown, from a record and nothing else.

use std::fmt::Write;
use std::path::Path;

use crate::contenders::Kind;
use crate::record::{Record, Row};
use crate::run::DELAY_MAX;

/// Between these lines of a file the report goes.
const BEGIN: &str = "<!-- latency: begin -->";
const END: &str = "<!-- latency: end -->";

/// How much of a record is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Detail<'a> {
    /// One table for each load.
    Full,
    /// One table for the main load and one for all others; and the pictures in this directory, if there is one.
    Brief(Option<&'a str>),
}

/// What a record says.
pub(crate) fn markdown(record: &Record, detail: Detail<'_>) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write(record, detail, &mut out);
    out
}

fn write(record: &Record, detail: Detail<'_>, out: &mut String) -> std::fmt::Result {
    introduction(record, out)?;
    let pictures = match detail {
        Detail::Full => {
            for load in record.loads() {
                latency_table(record, load, out)?;
            }
            None
        }
        Detail::Brief(pictures) => {
            if let Some(load) = record.main_load() {
                latency_table(record, load, out)?;
                picture(pictures, "curves.svg", "percentiles of all contenders", out)?;
            }
            matrix(record, out)?;
            pictures
        }
    };
    counted_table(record, out)?;
    order_table(record, out)?;
    growth_table(record, out)?;
    if !record.growth.is_empty() {
        picture(pictures, "growth.svg", "cost of a message as books and sockets grow in number", out)?;
    }
    if !record.notes.is_empty() {
        out.push('\n');
        for note in &record.notes {
            writeln!(out, "- {note}")?;
        }
    }
    if let Some(directory) = pictures {
        writeln!(out, "\nEverything behind these figures: [{directory}]({directory}).")?;
    }
    Ok(())
}

fn introduction(record: &Record, out: &mut String) -> std::fmt::Result {
    let machine = &record.machine;
    let day = record.date.split('T').next().unwrap_or_default();
    write!(out, "{day} on {} ({}, {} cores, Linux {}), ", machine.host, machine.cpu, machine.cores, machine.kernel)?;
    write!(
        out,
        "{}: {} rounds of {} ms in which contenders take turns",
        machine.rustc, record.rounds, record.round_ms
    )?;
    match (record.pinned, record.real_time) {
        (true, true) => out.push_str(", sender and receiver on a core each under SCHED_FIFO"),
        (true, false) => out.push_str(", sender and receiver on a core each"),
        (false, _) => out.push_str(", neither side pinned"),
    }
    write!(out, ". Made by `{}`.", record.command)?;
    if record.rows.is_empty() {
        out.push('\n');
        return Ok(());
    }
    let rounds = || record.rows.iter().flat_map(|row| &row.rounds);
    let noisy = rounds().filter(|round| round.receiver_delay.max(round.sender_delay) > DELAY_MAX).count();
    write!(out, " In {noisy} of {} pairs a side waited longer than 1% of the time for its core.", rounds().count())?;
    match record.rows.iter().filter(|row| row.failure.is_some()).count() {
        0 => writeln!(out, " Every top after every message was the true one, and so was every book at the end."),
        1 => writeln!(out, " One row failed, as its table says."),
        failed => writeln!(out, " {failed} rows failed, as their tables say."),
    }
}

fn picture(directory: Option<&str>, name: &str, what: &str, out: &mut String) -> std::fmt::Result {
    match directory {
        Some(directory) => writeln!(out, "\n![{what}]({directory}/{name})"),
        None => Ok(()),
    }
}

/// The name of a contender, ours in bold.
fn name(record: &Record, name: &str) -> String {
    match record.contenders.iter().find(|contender| contender.name == name) {
        Some(contender) if contender.kind == Kind::Ours => format!("**{name}**"),
        _ => name.to_owned(),
    }
}

/// All loads but the main one, p50 and p99 each; of bursts, those of the last message.
fn matrix(record: &Record, out: &mut String) -> std::fmt::Result {
    let main = record.main_load();
    let loads: Vec<&str> = record.loads().into_iter().filter(|load| Some(*load) != main).collect();
    if loads.is_empty() {
        return Ok(());
    }
    out.push_str("\nOther loads: p50 / p99 in µs; of bursts of 100, those of the last message.\n\n| contender |");
    loads.iter().for_each(|load| out.push_str(&format!(" {load} |")));
    out.push_str("\n|---|");
    loads.iter().for_each(|_| out.push_str("---|"));
    out.push('\n');
    for contender in &record.contenders {
        write!(out, "| {} |", name(record, &contender.name))?;
        for load in &loads {
            let row = record.rows.iter().find(|row| row.load == *load && row.contender == contender.name);
            match row {
                Some(row) if row.failure.is_some() => out.push_str(" failed |"),
                Some(row) => {
                    let q = row.last_of_burst.unwrap_or(row.wire_to_book);
                    write!(out, " {} / {} |", us(q.p50_ns), us(q.p99_ns))?;
                }
                None => out.push_str(" - |"),
            }
        }
        out.push('\n');
    }
    Ok(())
}

fn latency_table(record: &Record, load: &str, out: &mut String) -> std::fmt::Result {
    let rows: Vec<&Row> = record.rows.iter().filter(|row| row.load == load).collect();
    let bursts = rows.iter().any(|row| row.last_of_burst.is_some());
    writeln!(out, "\nWire to book, {} (µs).\n", explain(load))?;
    out.push_str("| contender | p50 | p90 | p99 | p99.9 | max |");
    if bursts {
        out.push_str(" last of a burst: mean | p50 | p99 |");
    }
    writeln!(out, " p50 / {floor} | p99 / {floor} | CPU | allocations (bytes) |", floor = record.reference)?;
    out.push_str("|---|---|---|---|---|---|---|---|---|---|");
    out.push_str(if bursts { "---|---|---|\n" } else { "\n" });
    for row in rows {
        let name = name(record, &row.contender);
        if let Some(failure) = &row.failure {
            writeln!(out, "| {name} | failed: {} |", failure.replace('|', "/"))?;
            continue;
        }
        let q = &row.wire_to_book;
        let [p50, p90, p99, p999, max] = [q.p50_ns, q.p90_ns, q.p99_ns, q.p999_ns, q.max_ns].map(us);
        write!(out, "| {name} | {p50} | {p90} | {p99} | {p999} | {max} |")?;
        if let Some(last) = &row.last_of_burst {
            write!(out, " {} | {} | {} |", us(last.mean_ns as u64), us(last.p50_ns), us(last.p99_ns))?;
        }
        let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        // Who spins takes a core, whatever comes.
        let sleeps = record.contenders.iter().any(|contender| contender.name == row.contender && contender.sleeps);
        let cpu = if sleeps { us((row.user_ns + row.system_ns) as u64) } else { "a core".to_owned() };
        let (allocations, bytes) = (row.allocations, row.allocated_bytes.round());
        let (p50, p99) = (ratio(row.p50_ratio), ratio(row.p99_ratio));
        writeln!(out, " {p50} | {p99} | {cpu} | {allocations:.1} ({bytes}) |")?;
    }
    Ok(())
}

fn counted_table(record: &Record, out: &mut String) -> std::fmt::Result {
    if record.counted.is_empty() {
        return Ok(());
    }
    out.push_str("\nWhat a message costs a receiver that sleeps between two, counted over TLS.\n\n");
    out.push_str("| contender | instructions in user space | system calls |\n|---|---|---|\n");
    for row in &record.counted {
        let name = name(record, &row.contender);
        let instructions = row.instructions.map_or("-".to_owned(), |count| format!("{count:.0}"));
        let calls = row.system_calls.map_or("-".to_owned(), |count| format!("{count:.1}"));
        writeln!(out, "| {name} | {instructions} | {calls} |")?;
    }
    Ok(())
}

fn order_table(record: &Record, out: &mut String) -> std::fmt::Result {
    if record.orders.is_empty() {
        return Ok(());
    }
    out.push_str(
        "\nTick to trade: from the receive stamp to the return of the write of an order, sent from a callback ",
    );
    out.push_str("(µs).\n\n| load | p50 | p90 | p99 | p99.9 | max | orders |\n|---|---|---|---|---|---|---|\n");
    for row in &record.orders {
        let q = &row.tick_to_trade;
        let [p50, p90, p99, p999, max] = [q.p50_ns, q.p90_ns, q.p99_ns, q.p999_ns, q.max_ns].map(us);
        writeln!(out, "| {} | {p50} | {p90} | {p99} | {p999} | {max} | {} |", row.load, q.count)?;
    }
    Ok(())
}

fn growth_table(record: &Record, out: &mut String) -> std::fmt::Result {
    if record.growth.is_empty() {
        return Ok(());
    }
    out.push_str("\nCost of a message as books and sockets grow in number, 10,000 messages a second in all (ns).\n\n");
    out.push_str("| books | sockets | inside of poll | wire to book, p50 |\n|---|---|---|---|\n");
    for row in &record.growth {
        let (poll, latency) = (row.poll_ns.round(), row.wire_to_book_p50_ns.round());
        writeln!(out, "| {} | {} | {poll} | {latency} |", row.books, row.sockets)?;
    }
    Ok(())
}

/// Microseconds with about three digits.
fn us(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{:.2}", ns as f64 / 1e3),
        10_000..100_000 => format!("{:.1}", ns as f64 / 1e3),
        _ => format!("{:.0}", ns as f64 / 1e3),
    }
}

/// A load in words; its name if it is none of this program's.
fn explain(load: &str) -> String {
    use crate::load::{Load, Pace};
    let Ok(known) = load.parse::<Load>() else { return load.to_owned() };
    let how = if known.tls { "over TLS" } else { "plain" };
    let pace = match known.pace {
        Pace::Rate(per_s) => format!("{per_s} messages a second"),
        Pace::Burst => "bursts of 100".to_owned(),
    };
    match (known.streams, known.sockets) {
        (1, 1) => format!("`{load}`: {pace} {how}"),
        (books, sockets) => format!("`{load}`: {pace} {how}, {books} books on {sockets} sockets"),
    }
}

/// Puts the report between the two marker lines of a file.
pub(crate) fn into_file(record: &Record, directory: &Path, file: &Path) -> Result<(), String> {
    let explain = |error: std::io::Error| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(explain)?;
    let pictures = relative(directory, file);
    let text = replace(&text, &markdown(record, Detail::Brief(pictures.as_deref())))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    std::fs::write(file, text).map_err(explain)
}

fn replace(text: &str, report: &str) -> Result<String, String> {
    let missing = |marker: &str| format!("there is no line `{marker}`");
    let begin = text.find(BEGIN).ok_or_else(|| missing(BEGIN))? + BEGIN.len();
    let end = begin + text[begin..].find(END).ok_or_else(|| missing(END))?;
    Ok(format!("{}\n{}\n{}", &text[..begin], report.trim_end(), &text[end..]))
}

/// The directory as the file has to name it, if one of the file's directories holds it.
fn relative(directory: &Path, file: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let base = file.canonicalize().ok()?;
    Some(directory.strip_prefix(base.parent()?).ok()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testdata").as_path()).unwrap()
    }

    #[test]
    fn a_committed_record_gives_this_report() {
        let report =
            markdown(&record(), Detail::Full) + "----\n" + &markdown(&record(), Detail::Brief(Some("records/x")));
        assert_eq!(report, include_str!("testdata/report.md"));
    }

    #[test]
    fn records_survive_writing() {
        let record = record();
        let base = std::env::temp_dir().join(format!("wirebook-latency-record-{}", std::process::id()));
        let first = record.write(&base, &[]).unwrap();
        let second = record.write(&base, &[]).unwrap();
        assert!(first.ends_with("testhost/2026-11-22") && second.ends_with("testhost/2026-11-22-2"));
        assert_eq!(Record::read(&first).unwrap(), record);
        let error = Record::read(&base).unwrap_err();
        assert!(error.contains("summary.json: "), "{error}");
        std::fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("# A\n{BEGIN}\nold\n{END}\nrest\n");
        let new = replace(&text, "new\n").unwrap();
        assert_eq!(new, format!("# A\n{BEGIN}\nnew\n{END}\nrest\n"));
        assert_eq!(replace(&new, "new").unwrap(), new);
        assert_eq!(replace("# A", "new"), Err(format!("there is no line `{BEGIN}`")));
        assert_eq!(replace(&format!("{END}\n{BEGIN}"), "new"), Err(format!("there is no line `{END}`")));
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!([us(3_524), us(35_240), us(352_400)], ["3.52", "35.2", "352"]);
    }
}
