//! The latency harness. For now it only says where to look; `wirebook demo` already prints latency per stage.

mod contender;
mod contenders;

fn main() {
    println!("The harness that measures rivals is not built yet. For latencies of wirebook itself: wirebook demo");
}
