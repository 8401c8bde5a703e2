//! The latency harness. For now it only says where to look; `wirebook demo` already prints latency per stage.

fn main() {
    println!("The harness that measures rivals is not built yet. For latencies of wirebook itself: wirebook demo");
}
