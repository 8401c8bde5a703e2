//! Where the examples get their data: from the venues, or with `--sim` from loopback venues in threads of their own.

use std::time::{Duration, Instant};

use wirebook::{EngineConfig, VenueConfig};

/// What the command line said.
#[derive(Default)]
pub struct Options {
    pub engine: EngineConfig,
    pub venue: VenueConfig,
    /// The second venue of those examples that have two.
    pub second: VenueConfig,
    deadline: Option<Instant>,
    #[cfg(feature = "sim")]
    pub server: Option<wirebook::sim::server::Server>,
    #[cfg(feature = "sim")]
    pub second_server: Option<wirebook::sim::server::Server>,
}

impl Options {
    /// Reads `--sim` and `--seconds N`.
    pub fn from_args() -> Result<Options, Box<dyn std::error::Error>> {
        let mut options = Options::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--sim" => options.start_sim()?,
                "--seconds" => {
                    let seconds: u64 = args.next().ok_or("--seconds needs a number")?.parse()?;
                    options.deadline = Some(Instant::now() + Duration::from_secs(seconds));
                }
                other => return Err(format!("{other}? There are --sim and --seconds N").into()),
            }
        }
        Ok(options)
    }

    /// True when `--seconds` are over.
    pub fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Key and secret of an account at the loopback venue.
    #[cfg(feature = "sim")]
    pub fn account(&self) -> Option<(&'static str, &'static str)> {
        self.server.as_ref().map(|_| ("loopback-key", wirebook::sim::account::AccountConfig::SECRET))
    }

    /// There is none without a loopback venue.
    #[cfg(not(feature = "sim"))]
    pub fn account(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    #[cfg(feature = "sim")]
    fn start_sim(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        use wirebook::sim::server::{Server, ServerConfig};
        use wirebook::sim::{Config, VenueKind};

        let mut start = |kind| -> Result<(Server, VenueConfig), Box<dyn std::error::Error>> {
            let server = Server::start(ServerConfig::new(Config::new(kind)))?;
            self.engine.roots.extra.extend(server.ca_pem().map(|pem| pem.as_bytes().to_vec()));
            let venue = VenueConfig::at(server.ws_url(), server.rest_url());
            Ok((server, venue))
        };
        let (server, venue) = start(VenueKind::Binance)?;
        let (second_server, second) = start(VenueKind::Okex)?;
        (self.server, self.venue) = (Some(server), venue);
        (self.second_server, self.second) = (Some(second_server), second);
        Ok(())
    }

    #[cfg(not(feature = "sim"))]
    fn start_sim(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        Err("--sim needs the feature: cargo run --features sim --example ...".into())
    }
}
