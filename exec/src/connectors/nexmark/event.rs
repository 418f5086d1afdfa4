//! What event n is, and who and what exist by then.
//!
//! ```text
//! round 0                        round 1
//! P A A A B B B ... B            P A A A B B ...       with the default proportions: 1 person, 3 auctions, 46 bids
//! 0 1 2 3 4 5 6 ... 49           50 51 ...             event numbers
//! 1000    1000, 1001, 1002       1001    1003 ...      ids of persons and auctions
//! ```
//!
//! Ids count up from 1000. Which ones exist at event n is arithmetic, so that a bid names an auction without anybody keeping a
//! list, and any event can be made first. As among people, a few are hot: of every hundred auctions the first gets a large share of
//! the bids; of every hundred persons the first sells and the second bids more than others.

use super::rules::Rules;
use crate::connectors::chance::{draw, mix, up_to};

/// Ids of persons and auctions start here.
pub(super) const FIRST_ID: u64 = 1000;

/// Of so many auctions or persons in a row, one is hot.
const HOT_EVERY: u64 = 100;

/// Bids are for one of so many latest auctions, by one of so many latest persons ...
const AUCTIONS_RUNNING: u64 = 100;
const PERSONS_ACTIVE: u64 = 1000;

/// ... or for one of the next few, as if events had overtaken each other.
const AHEAD: u64 = 10;

/// `event_type` of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub number: u64,
    pub kind: Kind,
    round: u64,
    /// In its round.
    place: u64,
    /// What its values are drawn from.
    cell: u64,
}

impl Event {
    /// Draw number `n` of this event.
    pub fn draw(&self, n: u64) -> u64 {
        draw(self.cell, n)
    }
}

impl Rules {
    /// `count` events from number `first`.
    pub fn events(&self, first: u64, count: u64) -> Vec<Event> {
        let (mut round, mut place) = (first / self.round(), first % self.round());
        let event = |number| {
            let kind = match place {
                place if place < self.persons => Kind::Person,
                place if place < self.persons + self.auctions => Kind::Auction,
                _ => Kind::Bid,
            };
            let event = Event { number, kind, round, place, cell: mix(number) };
            place += 1;
            if place == self.round() {
                (round, place) = (round + 1, 0);
            }
            event
        };
        (first..first + count).map(event).collect()
    }

    /// The latest person, the event's own if it is one; counted from 0, as all below.
    pub fn latest_person(&self, event: &Event) -> u64 {
        event.round * self.persons + event.place.min(self.persons.saturating_sub(1))
    }

    /// The latest auction. Before the first one of all this is 0 too: it is about to come.
    pub fn latest_auction(&self, event: &Event) -> u64 {
        let before = event.round * self.auctions;
        match event.place.checked_sub(self.persons) {
            Some(place) => before + place.min(self.auctions.saturating_sub(1)),
            None => before.saturating_sub(1),
        }
    }

    pub fn hot_auction(&self, event: &Event) -> u64 {
        self.latest_auction(event) / HOT_EVERY * HOT_EVERY
    }

    pub fn hot_seller(&self, event: &Event) -> u64 {
        self.latest_person(event) / HOT_EVERY * HOT_EVERY
    }

    /// Not the hot seller: who sells and bids much would bid on their own auctions.
    pub fn hot_bidder(&self, event: &Event) -> u64 {
        self.hot_seller(event) + 1
    }

    pub fn any_auction(&self, event: &Event, bits: u64) -> u64 {
        let latest = self.latest_auction(event);
        let first = latest.saturating_sub(AUCTIONS_RUNNING);
        first + up_to(bits, latest - first + AHEAD)
    }

    pub fn any_person(&self, event: &Event, bits: u64) -> u64 {
        let latest = self.latest_person(event);
        let first = (latest + 1).saturating_sub(PERSONS_ACTIVE);
        first + up_to(bits, latest - first + AHEAD)
    }

    /// An auction runs for about as long as it takes until as many others have opened as run at a time.
    pub fn auction_ms(&self, event: &Event, bits: u64) -> u64 {
        let events = AUCTIONS_RUNNING * self.round() / self.auctions.max(1);
        let horizon = self.time_ms(event.number + events).abs_diff(self.time_ms(event.number));
        1 + up_to(bits, (horizon * 2).saturating_sub(1))
    }
}
