//! `wirebook venues`, `order` and `account` as a user meets them, and the table in the README.
#![allow(clippy::expect_used)] // Helpers of tests, which clippy does not take for tests.
#![cfg(feature = "cli")]

use std::process::{Command, Output};

fn wirebook(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirebook"));
    // Whoever runs this may have keys of his own.
    for name in ["KEY", "SECRET", "PASSPHRASE"] {
        command.env_remove(format!("WIREBOOK_OKEX_{name}"));
    }
    command.args(arguments).output().expect("wirebook starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Run with `WIREBOOK_WRITE_README=1` to put the table there.
#[test]
fn the_readme_has_the_table_of_what_venues_can_do() {
    let table = text(&wirebook(&["venues"]).stdout);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let (begin, end) = ("<!-- venues: begin -->\n", "<!-- venues: end -->");
    let (head, rest) = readme.split_once(begin).expect("a place for the table");
    let (old, tail) = rest.split_once(end).expect("the end of the place");
    let new = format!("```text\n{table}```\n");
    if std::env::var_os("WIREBOOK_WRITE_README").is_some() {
        std::fs::write(path, format!("{head}{begin}{new}{end}{tail}")).expect("README.md can be written");
    } else {
        assert_eq!(old, new, "the README's table is not what `wirebook venues` prints");
    }
}

#[test]
fn one_venue_can_be_asked_for_and_json_says_the_same() {
    let output = wirebook(&["venues", "okex", "coinbasepro"]);
    let table = text(&output.stdout);
    assert!(table.starts_with("METHOD"), "{table}");
    let row = table.lines().find(|line| line.starts_with("watch_ohlcv ")).expect("a row");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["watch_ohlcv", "native", "-"]);
    let json = text(&wirebook(&["venues", "okex", "--json"]).stdout);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["okex"]["watch_ohlcv"], "native");
    assert_eq!(json["okex"]["watch_agg_trades"], "none");
}

#[test]
fn a_live_account_is_not_touched_by_accident() {
    for arguments in [
        &["account", "okex"][..],
        &["order", "okex", "list"],
        &["order", "okex", "--dry-run", "buy", "BTC/USDT", "1", "--price", "1"],
    ] {
        let output = wirebook(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let expected =
            "wirebook: this is the account at OKX itself: say --live, or give a loopback venue as --endpoint\n";
        assert_eq!(text(&output.stderr), expected);
    }
    let output = wirebook(&["order", "okex", "--live", "list"]);
    assert_eq!(output.status.code(), Some(2));
    let says = text(&output.stderr);
    assert!(says.contains("the environment variable WIREBOOK_OKEX_KEY is not set"), "{says}");
    let output = wirebook(&["order", "okex", "--live", "buy", "BTC/USDT", "much"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("invalid value 'much'"), "{}", text(&output.stderr));
}
