//! `wirebook sim`: a loopback venue until it is stopped.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use wirebook::sim::faults::Script;
use wirebook::sim::server::{Server, ServerConfig};
use wirebook::sim::{Config, VenueKind};

use super::{Failure, Sim, Stop};

/// Runs the command.
pub(crate) fn run(arguments: &Sim) -> Result<(), Failure> {
    let stop = Stop::listen();
    let config =
        config(arguments.venue, arguments.symbols, arguments.seed, arguments.rate, arguments.faults.as_deref())?;
    let account = config.account.clone();
    let mut server_config = ServerConfig::new(config);
    server_config.port = arguments.port;
    server_config.tls = !arguments.plain;
    let server = start(server_config)?;
    let ca = match (&arguments.ca_out, server.ca_pem()) {
        (Some(path), Some(pem)) => {
            std::fs::write(path, pem).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
            Some(path.display().to_string())
        }
        (Some(_), None) => {
            return Err(Failure::misuse("--ca-out makes no sense with --plain: there is no certificate"));
        }
        (None, pem) => pem.map(str::to_owned),
    };
    let line = json!({
        "venue": arguments.venue.name(),
        "rest": server.rest_url(),
        "ws": server.ws_url(),
        "ca": ca,
        "key": account.key,
        "secret": account.secret,
        "passphrase": account.passphrase,
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    while !stop.is_asked() {
        std::thread::sleep(Duration::from_millis(50));
    }
    server.stop().map_err(|error| Failure::failed(format!("the loopback venue ended badly: {error}")))
}

/// What to simulate, from the arguments of `sim` and `demo`.
pub(crate) fn config(
    venue: VenueKind,
    symbols: Option<usize>,
    seed: Option<u64>,
    rate: Option<u32>,
    faults: Option<&Path>,
) -> Result<Config, Failure> {
    let mut config = Config::new(venue);
    if let Some(count) = symbols {
        config = config.with_symbols(count);
    }
    config.seed = seed.unwrap_or(config.seed);
    config.rate = rate;
    if let Some(path) = faults {
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        config.script = Script::parse(&text)
            .map_err(|error| Failure::misuse(format!("{}:{}: {}", path.display(), error.line, error.message)))?;
    }
    Ok(config)
}

/// Starts the venue.
pub(crate) fn start(config: ServerConfig) -> Result<Server, Failure> {
    let port = config.port;
    Server::start(config).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::failed(format!("port {port} is taken; choose another one, or none for a free one"))
        }
        _ => Failure::failed(format!("the loopback venue cannot be started: {error}")),
    })
}
