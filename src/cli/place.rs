//! Where a venue is: its own addresses, or any other place that speaks its protocol.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use wirebook::engine::{Engine, EngineConfig, VenueConfig};
use wirebook::error::Retry;
use wirebook::model::VenueId;
use wirebook::net::Url;
use wirebook::venue::Profile;

use super::{Failure, Stop};

/// When the markets could not be loaded at the first attempt, it is tried again for so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);
/// Nothing at all was heard for so long.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Where the venue is.
#[derive(Args)]
pub(crate) struct Place {
    /// Another place that speaks the venue's protocol, such as a loopback venue: wss://HOST:PORT or ws://HOST:PORT.
    ///
    /// REST requests go to the same host and port, unless --rest-url says otherwise.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Another place for REST requests: https://HOST:PORT or http://HOST:PORT.
    #[arg(long, value_name = "URL")]
    rest_url: Option<String>,
    /// Trust the certificate authorities in this PEM file as well.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Place {
    /// True if it is not the venue itself.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.endpoint.is_some()
    }

    /// An engine with the venue at this place.
    pub(crate) fn engine(&self, profile: &'static Profile, config: EngineConfig) -> Result<(Engine, VenueId), Failure> {
        self.engine_with(profile, config, VenueConfig::default())
    }

    /// As [`Place::engine`], with settings of the venue.
    pub(crate) fn engine_with(
        &self,
        profile: &'static Profile,
        mut config: EngineConfig,
        mut venue: VenueConfig,
    ) -> Result<(Engine, VenueId), Failure> {
        if let Some(path) = &self.ca {
            let pem = std::fs::read(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
            config.roots.extra.push(pem);
        }
        if let Some(endpoint) = &self.endpoint {
            let url = base_url("--endpoint", endpoint)?;
            let (s, host) = (if url.scheme().is_tls() { "s" } else { "" }, url.host_header());
            venue.ws_url = Some(format!("ws{s}://{host}"));
            venue.rest_url = Some(format!("http{s}://{host}"));
        }
        if let Some(rest_url) = &self.rest_url {
            let url = base_url("--rest-url", rest_url)?;
            if url.scheme().is_websocket() {
                let text = format!("--rest-url {rest_url}: REST needs https:// or http://");
                return Err(Failure::misuse(text));
            }
            venue.rest_url = Some(rest_url.trim_end_matches('/').to_owned());
        }
        let mut engine = Engine::new(config)?;
        let id = engine.add_venue_with(profile.id, venue)?;
        Ok((engine, id))
    }
}

/// A URL of which only scheme, host and port are used.
fn base_url(name: &str, text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|error| Failure::misuse(format!("{name} {text}: {error}")))?;
    if !matches!(url.target(), "" | "/") {
        let text = format!("{name} {text}: give scheme, host and port only; the paths are those of the venue");
        return Err(Failure::misuse(text));
    }
    Ok(url)
}

/// Loads the markets of a venue. A refusal that will not change ends it at once, anything else after some attempts.
pub(crate) fn load_markets(
    engine: &mut Engine,
    venue: VenueId,
    stop: &Stop,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    engine.request_markets(venue);
    let start = Instant::now();
    let mut failed_since = None;
    while engine.markets(venue).is_empty() {
        engine.wait(Some(Duration::from_millis(50)))?;
        if stop.is_asked() {
            return Err(Failure::failed("stopped before the markets were loaded"));
        }
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if let Some(error) = engine.last_error(venue) {
            let since = *failed_since.get_or_insert_with(Instant::now);
            if error.retry() == Retry::Never || since.elapsed() > GIVE_UP_AFTER || late {
                return Err(error.clone().into());
            }
        } else if start.elapsed() > SILENCE_MAX || late {
            let text = format!("the list of markets did not come within {} s", start.elapsed().as_secs());
            return Err(Failure::failed(text));
        }
    }
    Ok(())
}
