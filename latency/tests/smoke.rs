//! A whole run with few messages, without any privilege: do the books agree, and is everything said that should be?

#![allow(clippy::unwrap_used, reason = "a test may fail in its helpers, too")]

use std::process::Command;

fn run(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wirebook-latency")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn floor_and_wirebook_agree_with_the_truth() {
    let loads = "tls-1k,plain-burst,tls-2k-6x3";
    let only = "floor-late,floor-recv,wirebook,wirebook-late,wirebook-sleep";
    let args = ["run", "--only", only, "--loads", loads, "--rounds", "1", "--round-ms", "100"];
    let (ok, stdout, stderr) = run(&[&args[..], &["--no-fifo", "--no-pin", "--json"]].concat());
    assert!(ok, "{stderr}");
    let record: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let rows = record["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 15);
    for row in rows {
        // The pair fails unless each top and each last book is the true one, so that figures mean agreement.
        assert_eq!(row["failure"], serde_json::Value::Null);
        let messages = match row["load"].as_str().unwrap() {
            "tls-1k" => 100,
            "plain-burst" => 1_000,
            _ => 200,
        };
        assert_eq!(row["wire_to_book"]["count"], messages, "{row}");
        assert!(row["wire_to_book"]["p50_ns"].as_u64().unwrap() > 100, "{row}");
        let burst = row["load"] == "plain-burst";
        assert_eq!(row["last_of_burst"]["count"].as_u64(), burst.then_some(10), "{row}");
        if row["contender"].as_str().unwrap().starts_with("floor") {
            assert_eq!(row["allocations"], 0.0, "{row}");
        }
    }
}

#[test]
fn misspelled_names_get_the_right_ones() {
    let (ok, _, stderr) = run(&["run", "--only", "wirebok"]);
    assert!(!ok && stderr.contains("there is no contender wirebok; there are floor-recv, "), "{stderr}");
    let (ok, _, stderr) = run(&["run", "--loads", "tls-10kk"]);
    assert!(!ok && stderr.contains("loads are named like tls-10k"), "{stderr}");
    let (ok, _, stderr) = run(&["report", "nowhere"]);
    assert!(!ok && stderr.contains("nowhere: "), "{stderr}");
}
