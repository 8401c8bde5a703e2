use super::engine::glob;
use super::parse::parse_time;
use super::*;

const S: u64 = 1_000_000_000;
const ALL: &str = "\
at 5s silence BTCUSDT for 3s
at 1.5s silence connection one for 250ms
every 10s gap
with 0.01 duplicate *@depth*
at 1m reorder ETHUSDT
with 1 corrupt
at 4s bad-checksum ETHUSDT
at 2s split 7 for 1s
at 2s glue 4 for 1s
at 2s fragment for 1s
at 8s half-open one
at 8s close 1008
at 9s cut
at 1s http 503 /api/v3/depth for 3 requests
at 1s http 429 for 2s
at 1s slow 500ms /api for 2 requests
at 1s stale BTCUSDT for 2 requests
at 1s refuse for 5s
with 0.25 refuse
at 30s shutdown after 2s
lifetime 24h
quiet after 2h
";

fn engine(text: &str) -> Engine {
    Engine::new(&Script::parse(text).unwrap(), 1, 0)
}

fn events(engine: &mut Engine, from_s: u64, to_s: u64, symbol: &str, stream: &str) -> Vec<(u64, Verdict)> {
    (from_s..to_s)
        .map(|s| {
            engine.fire(s * S, &mut Vec::new());
            (s, engine.on_event(s * S, symbol, stream, true, &mut Vec::new()))
        })
        .filter(|(_, verdict)| *verdict != Verdict::Pass)
        .collect()
}

#[test]
fn every_fault_reads_and_writes_back() {
    let script = Script::parse(ALL).unwrap();
    assert_eq!(script.faults.len(), ALL.lines().count());
    let written = script.to_string();
    assert_eq!(Script::parse(&written).unwrap(), script);
    assert_eq!(written, ALL.replace("1.5s", "1500ms"));
}

#[test]
fn comments_and_defaults() {
    let script =
        Script::parse("# nothing\n\n at 1s http 500 # one request\nat 1s split for 1s\nat 1s shutdown").unwrap();
    assert_eq!(script.to_string(), "at 1s http 500 for 1 requests\nat 1s split 7 for 1s\nat 1s shutdown after 1s\n");
}

#[test]
fn random_scripts_read_back_and_are_equal_for_equal_seeds() {
    for seed in 0..300 {
        let script = Script::random(seed, 30 * S, &["BTCUSDT", "ETHUSDT"]);
        assert_eq!(Script::parse(&script.to_string()).unwrap(), script, "{script}");
        assert_eq!(Script::random(seed, 30 * S, &["BTCUSDT", "ETHUSDT"]), script);
    }
    assert_ne!(Script::random(1, 30 * S, &[]), Script::random(2, 30 * S, &[]));
}

#[test]
fn errors_name_the_line_and_the_remedy() {
    for (text, line, part) in [
        ("at 5s gap\nat 5x gap", 2, "`5x` is not a time; write it as 20ms"),
        ("gap", 1, "say when: `at 5s gap ...`"),
        ("at 5s gapp", 1, "unknown fault `gapp`; known are silence, gap"),
        ("at 5s silence BTCUSDT", 1, "`silence` needs a length, as in `silence for 3s`"),
        ("at 5s silence BTCUSDT for 0s", 1, "above zero"),
        ("with 2 gap", 1, "`2` is not a probability"),
        ("with 0 gap", 1, "`0` is not a probability"),
        ("at 5s close 99", 1, "close code from 1000 to 4999"),
        ("at 5s close 1006", 1, "use `cut`"),
        ("at 5s http 200", 1, "status from 400 to 599"),
        ("at 5s http 503 depth", 1, "`depth` is not a path"),
        ("at 5s http 503 for 3", 1, "write `for 3 requests`"),
        ("at 5s http 503 for ever", 1, "`ever` is neither"),
        ("at 5s lifetime 3s", 1, "without `at`"),
        ("at 5s cut now", 1, "`now` is not expected"),
        ("at 5s gap connection", 1, "`gap` concerns events"),
        ("every 0s gap", 1, "above zero"),
        ("at 5s split 0 for 3s", 1, "`split` takes a number from 1 to 65536, found `0`"),
        ("at", 1, "a time is missing after `at`"),
        ("at 5s", 1, "the fault is missing"),
        ("quiet 20s", 1, "write `quiet after 20s`, found `20s`"),
        ("at 99999999999h cut", 1, "is not a time"),
    ] {
        let error = Script::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    let long = "at 1s cut\n".repeat(FAULTS_MAX + 1);
    assert_eq!(Script::parse(&long).unwrap_err().line, FAULTS_MAX + 1);
}

#[test]
fn silence_lasts_as_long_as_it_says() {
    let mut engine = engine("at 5s silence BTCUSDT for 3s");
    let hit = events(&mut engine, 0, 20, "BTCUSDT", "btcusdt@trade");
    assert_eq!(hit, [(5, Verdict::Drop), (6, Verdict::Drop), (7, Verdict::Drop)]);
    assert!(events(&mut self::engine("at 5s silence BTCUSDT for 3s"), 0, 20, "ETHUSDT", "ethusdt@trade").is_empty());
}

#[test]
fn event_faults_concern_one_event_each_time() {
    let mut engine = engine("every 10s gap\nat 3s duplicate *@depth*\nat 4s reorder\nat 5s corrupt");
    let hit = events(&mut engine, 0, 25, "BTCUSDT", "btcusdt@trade");
    assert_eq!(hit, [(4, Verdict::Later), (5, Verdict::Corrupt), (10, Verdict::Drop), (20, Verdict::Drop)]);
    let hit = events(&mut engine, 25, 27, "BTCUSDT", "btcusdt@depth@100ms");
    assert_eq!(hit, [(25, Verdict::Twice)]);
}

#[test]
fn a_checksum_is_only_spoiled_where_there_is_one() {
    let mut engine = engine("at 1s bad-checksum");
    engine.fire(S, &mut Vec::new());
    assert_eq!(engine.on_event(S, "X", "x@trade", false, &mut Vec::new()), Verdict::Pass);
    assert_eq!(engine.on_event(S, "X", "x@depth", true, &mut Vec::new()), Verdict::BadChecksum);
    assert_eq!(engine.on_event(S, "X", "x@depth", true, &mut Vec::new()), Verdict::Pass);
}

#[test]
fn dice_fall_as_often_as_they_should() {
    let mut engine = engine("with 0.1 gap");
    let dropped =
        (0..10_000).filter(|s| engine.on_event(s * S, "X", "x@trade", true, &mut Vec::new()) == Verdict::Drop).count();
    assert!((850..1150).contains(&dropped), "{dropped}");
}

#[test]
fn requests_are_counted_down() {
    let mut engine = engine("at 1s http 503 /api/v3/depth for 2 requests\nat 1s slow 3s for 10s\nat 2s stale BTCUSDT");
    engine.fire(S, &mut Vec::new());
    let plain = RequestVerdict { delay_ns: 3 * S, ..RequestVerdict::default() };
    assert_eq!(engine.on_request(S, "/api/v3/time", "", false), plain);
    let depth = |engine: &mut Engine, now| engine.on_request(now, "/api/v3/depth", "BTCUSDT", true);
    assert_eq!(depth(&mut engine, S).status, Some(503));
    assert_eq!(depth(&mut engine, S).status, Some(503));
    assert_eq!(depth(&mut engine, S), plain);
    engine.fire(2 * S, &mut Vec::new());
    assert!(!engine.on_request(2 * S, "/api/v3/depth", "ETHUSDT", true).stale);
    assert!(depth(&mut engine, 2 * S).stale);
    assert!(!depth(&mut engine, 2 * S).stale);
    assert_eq!(depth(&mut engine, 11 * S), RequestVerdict::default());
}

#[test]
fn connections_are_refused_for_a_while() {
    let mut engine = engine("at 2s refuse for 2s");
    let refused: Vec<u64> = (0..8)
        .filter(|s| {
            engine.fire(s * S, &mut Vec::new());
            engine.refuses(s * S)
        })
        .collect();
    assert_eq!(refused, [2, 3]);
    let mut engine = self::engine("with 1 refuse");
    assert!(engine.refuses(0));
}

#[test]
fn quiet_ends_everything() {
    let mut engine = engine("at 1s silence for 1h\nwith 1 refuse\nevery 1s cut\nquiet after 3s");
    let mut actions = Vec::new();
    for s in 0..10 {
        engine.fire(s * S, &mut actions);
    }
    assert_eq!(actions, [Action::Cut { who: Who::All }, Action::Cut { who: Who::All }]);
    assert_eq!(engine.on_event(2 * S, "X", "x", true, &mut actions), Verdict::Drop);
    assert_eq!(engine.on_event(3 * S, "X", "x", true, &mut actions), Verdict::Pass);
    assert!(engine.refuses(2 * S));
    assert!(!engine.refuses(3 * S));
    assert_eq!(engine.next_ns(), None);
    // What was armed and the dice are over too.
    for text in ["at 1s gap\nquiet after 3s", "with 1 gap\nquiet after 3s"] {
        let mut engine = self::engine(text);
        engine.fire(2 * S, &mut actions);
        assert_eq!(engine.on_event(3 * S, "X", "x", true, &mut actions), Verdict::Pass, "{text}");
    }
}

#[test]
fn patterns() {
    for (pattern, name, same) in [
        ("*@depth*", "btcusdt@depth@100ms", true),
        ("*@depth", "btcusdt@depth@100ms", false),
        ("BTC*@*ms", "btcusdt@depth@100ms", true),
        ("*", "", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("abc", "abcd", false),
    ] {
        assert_eq!(glob(pattern, name), same, "{pattern} {name}");
    }
}

#[test]
fn times() {
    assert_eq!(parse_time("1.5s"), Some(1_500_000_000));
    assert_eq!(parse_time("20ms"), Some(20_000_000));
    assert_eq!(parse_time("24h"), Some(86_400_000_000_000));
    for bad in ["", "5", "s", "1.s", ".5s", "1.0000000001s", "1 s", "-1s", "1d"] {
        assert_eq!(parse_time(bad), None, "{bad}");
    }
    assert_eq!(Time(90_000_000_000).to_string(), "90s");
}
