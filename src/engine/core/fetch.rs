//! Questions by REST: asked by the user, answered as an event or kept for who waits.

use super::session::Purpose;
use super::{Core, RequestId, Sink};
use crate::error::{Error, ErrorKind, Retry};
use crate::model::{Event, FeedId, Mono, Stamp, Update, VenueId};
use crate::venue::{Fetch, Fetched, Reply};

/// Answers that are kept for who waits for them.
const KEPT_MAX: usize = 1_024;

impl Core {
    /// Asks a venue by REST. The answer comes as [`Event::Fetched`] under the id that this gives.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] if the venue has no such thing; [`ErrorKind::AuthenticationError`] if it needs
    /// credentials; [`ErrorKind::BadSymbol`]; [`ErrorKind::ArgumentsRequired`].
    pub fn fetch(&mut self, venue: VenueId, fetch: Fetch, now: Stamp) -> Result<RequestId, Error> {
        self.fetch_for(venue, fetch, Purpose::User { kept: false }, now)
    }

    /// As [`Core::fetch`], for [`Core::take_fetched`].
    pub(crate) fn fetch_kept(&mut self, venue: VenueId, fetch: Fetch, now: Stamp) -> Result<RequestId, Error> {
        if self.fetched.len() >= KEPT_MAX {
            return Err(Error::new(ErrorKind::LimitReached, "too many answers wait to be taken"));
        }
        self.fetch_for(venue, fetch, Purpose::User { kept: true }, now)
    }

    /// The answer to a [`Core::fetch_kept`], once.
    pub(crate) fn take_fetched(&mut self, request: RequestId) -> Option<Result<Fetched, Error>> {
        self.fetched.remove(&request)
    }

    /// Nobody waits for it any more.
    pub(crate) fn forget_fetch(&mut self, request: RequestId) {
        self.fetched.remove(&request);
        self.cancel(request);
    }

    fn fetch_for(&mut self, venue: VenueId, fetch: Fetch, purpose: Purpose, now: Stamp) -> Result<RequestId, Error> {
        let id = match self.venues.get(usize::from(venue.0)) {
            Some(slot) => slot.profile.id,
            None => return Err(Error::new(ErrorKind::StaleHandle, "this venue is not of this engine")),
        };
        let Some((session, markets)) = self.session_and_markets(venue) else {
            return Err(Error::new(ErrorKind::NotSupported, "its REST is not built").at(id));
        };
        let (adapter, cx) = session.parts(markets, now);
        let signed = adapter.request(&fetch, &cx).map_err(|error| error.at(id))?;
        let job = super::Job::Fetch(Box::new(fetch), purpose, false);
        Ok(self.queue(venue, job, None, signed, now.mono))
    }

    #[allow(clippy::too_many_arguments)] // The parts of one pending request.
    pub(super) fn on_fetch_reply(
        &mut self,
        request: RequestId,
        venue: VenueId,
        fetch: &Fetch,
        (purpose, further): (Purpose, bool),
        sent: Mono,
        reply: Result<Reply<'_>, Error>,
        now: Stamp,
        sink: &mut impl Sink,
    ) {
        let id = self.profile(venue).id;
        let Some((session, markets)) = self.session_and_markets(venue) else { return };
        let (adapter, cx) = session.parts(markets, now);
        let answer = match reply {
            Ok(reply) => adapter.on_reply(fetch, &reply, &cx),
            Err(error) => Err(error),
        };
        // Some venues keep open orders and those that ended in two places.
        if let (Fetch::Order { .. }, Ok(Fetched::Orders(rows)), false) = (fetch, &answer, further)
            && rows.is_empty()
            && let Some(Ok(signed)) = adapter.request_further(fetch, &cx)
        {
            let job = super::Job::Fetch(Box::new(fetch.clone()), purpose, true);
            self.queue_as(request, venue, job, None, signed, now.mono);
            return;
        }
        let answer = answer.map_err(|error| error.at(id));
        if let Err(error) = &answer
            && error.retry() == Retry::Resync
        {
            self.resync_clock(venue, now.mono);
        }
        match (purpose, answer) {
            (Purpose::User { kept: true }, answer) => {
                self.fetched.insert(request, answer);
            }
            (Purpose::User { kept: false }, answer) => {
                let event = Event::Fetched { request, answer: answer.as_ref() };
                sink.update(&Update { feed: FeedId::NONE, market: None, received: now, kernel: None, event });
            }
            (purpose, Ok(answer)) => self.on_private_answer(venue, fetch, purpose, sent, answer, now, sink),
            (purpose, Err(error)) => self.on_private_failure(venue, fetch.clone(), purpose, error, now),
        }
    }
}
