//! The fields of persons, auctions and bids: each is a function of the event.
//!
//! Every field has draws of its own, so that its value does not depend on which other fields are wanted.

use std::f64::consts::{LN_2, LOG2_10};

use super::event::{Event, FIRST_ID, Kind};
use super::rules::Rules;
use crate::connectors::chance::{draw, fraction, up_to};

/// How the values of a field are made, which is also its type.
#[derive(Clone, Copy)]
pub(super) enum Make {
    /// BIGINT
    Number(fn(&Rules, &Event) -> u64),
    /// TIMESTAMP(3), in milliseconds since 1970
    Time(fn(&Rules, &Event) -> i64),
    /// STRING, appended in ASCII
    Text(fn(&Rules, &Event, &mut Vec<u8>)),
}

/// The fields of the column for one kind of event, in the order of the benchmark's schema.
pub(super) fn fields(kind: Kind) -> &'static [(&'static str, Make)] {
    match kind {
        Kind::Person => PERSON,
        Kind::Auction => AUCTION,
        Kind::Bid => BID,
    }
}

const PERSON: &[(&str, Make)] = &[
    ("id", Make::Number(|rules, event| FIRST_ID + rules.latest_person(event))),
    ("name", Make::Text(|_, event, out| name(event, out))),
    ("emailAddress", Make::Text(|_, event, out| email(event, out))),
    ("creditCard", Make::Text(|_, event, out| credit_card(event.draw(3), out))),
    ("city", Make::Text(|_, event, out| out.extend_from_slice(pick(&CITIES, event.draw(4)).as_bytes()))),
    ("state", Make::Text(|_, event, out| out.extend_from_slice(pick(&STATES, event.draw(5)).as_bytes()))),
    ("dateTime", Make::Time(|rules, event| rules.time_ms(event.number))),
    ("extra", Make::Text(|rules, event, out| extra(event.draw(EXTRA), rules.person_bytes, PERSON_BYTES, out))),
];

const AUCTION: &[(&str, Make)] = &[
    ("id", Make::Number(|rules, event| FIRST_ID + rules.latest_auction(event))),
    ("itemName", Make::Text(|_, event, out| text(event.draw(1), 3, 19, out))),
    ("description", Make::Text(|_, event, out| text(event.draw(2), 3, 99, out))),
    ("initialBid", Make::Number(|_, event| price(event.draw(3)))),
    ("reserve", Make::Number(|_, event| price(event.draw(3)) + price(event.draw(4)))),
    ("dateTime", Make::Time(|rules, event| rules.time_ms(event.number))),
    ("expires", Make::Time(expires)),
    ("seller", Make::Number(seller)),
    ("category", Make::Number(|_, event| FIRST_CATEGORY + up_to(event.draw(8), CATEGORIES - 1))),
    ("extra", Make::Text(|rules, event, out| extra(event.draw(EXTRA), rules.auction_bytes, AUCTION_BYTES, out))),
];

const BID: &[(&str, Make)] = &[
    ("auction", Make::Number(auction)),
    ("bidder", Make::Number(bidder)),
    ("price", Make::Number(|_, event| price(event.draw(5)))),
    ("channel", Make::Text(|_, event, out| Channel::of(event).name(out))),
    ("url", Make::Text(|_, event, out| Channel::of(event).url(out))),
    ("dateTime", Make::Time(|rules, event| rules.time_ms(event.number))),
    ("extra", Make::Text(|rules, event, out| extra(event.draw(EXTRA), rules.bid_bytes, BID_BYTES, out))),
];

/// The draw of `extra`.
const EXTRA: u64 = 9;

/// Draws of a text: how long it is and where its blanks are. Its letters are the draws from 0.
const LENGTH: u64 = 1 << 32;
const BLANKS: u64 = LENGTH + 1;

/// About how large the other fields are; what is missing to the size asked for is made up by `extra`.
const PERSON_BYTES: u64 = 61;
const AUCTION_BYTES: u64 = 110;
/// As in the benchmark, which does not count channel and url.
const BID_BYTES: u64 = 32;

const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// Few of each, so that queries find something in small data.
const FIRST_NAMES: [&str; 11] =
    ["Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "John", "Leslie", "Niklaus", "Tony"];
const LAST_NAMES: [&str; 9] = ["Allen", "Hopper", "Hoare", "Knuth", "Lamport", "Liskov", "Lovelace", "Turing", "Wirth"];
/// Some of these are what the benchmark's queries ask for.
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Boise", "Casper", "Eugene", "Laramie", "Oakland", "Phoenix", "San Diego", "Seattle", "Spokane", "Tucson"];

fn pick<T: Copy>(choices: &[T], bits: u64) -> T {
    choices[up_to(bits, choices.len() as u64 - 1) as usize]
}

/// True for all but one in `ratio` draws.
fn is_hot(bits: u64, ratio: u64) -> bool {
    up_to(bits, ratio - 1) > 0
}

fn name(event: &Event, out: &mut Vec<u8>) {
    let bits = event.draw(1);
    out.extend_from_slice(pick(&FIRST_NAMES, bits).as_bytes());
    out.push(b' ');
    out.extend_from_slice(pick(&LAST_NAMES, draw(bits, 0)).as_bytes());
}

fn email(event: &Event, out: &mut Vec<u8>) {
    let bits = event.draw(2);
    letters(draw(bits, 0), 3 + up_to(draw(bits, 1), 3), out);
    out.push(b'@');
    letters(draw(bits, 2), 3 + up_to(draw(bits, 3), 1), out);
    out.extend_from_slice(b".com");
}

/// `0123 4567 8901 2345`
fn credit_card(bits: u64, out: &mut Vec<u8>) {
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        let number = up_to(draw(bits, group), 9_999);
        out.extend([1000, 100, 10, 1].map(|unit| b'0' + (number / unit % 10) as u8));
    }
}

fn expires(rules: &Rules, event: &Event) -> i64 {
    rules.time_ms(event.number).saturating_add_unsigned(rules.auction_ms(event, event.draw(5)))
}

fn seller(rules: &Rules, event: &Event) -> u64 {
    let person = match is_hot(event.draw(6), rules.hot_sellers) {
        true => rules.hot_seller(event),
        false => rules.any_person(event, event.draw(7)),
    };
    FIRST_ID + person
}

fn auction(rules: &Rules, event: &Event) -> u64 {
    let auction = match is_hot(event.draw(1), rules.hot_auctions) {
        true => rules.hot_auction(event),
        false => rules.any_auction(event, event.draw(2)),
    };
    FIRST_ID + auction
}

fn bidder(rules: &Rules, event: &Event) -> u64 {
    let person = match is_hot(event.draw(3), rules.hot_bidders) {
        true => rules.hot_bidder(event),
        false => rules.any_person(event, event.draw(4)),
    };
    FIRST_ID + person
}

/// From 1.00 to 1 000 000.00, in hundredths, each order of magnitude equally likely.
///
/// `powf` may differ in its last bit from one system's library to another's, and with it a price. This differs nowhere: 2^x is
/// 2^(whole part), which is exact, times the series of 2^(rest), whose terms beyond the 13th are below 2^-53.
pub(super) fn price(bits: u64) -> u64 {
    let x = fraction(bits) * 6.0 * LOG2_10;
    let rest = x.fract() * LN_2;
    let series = (1..=13).rev().fold(1.0, |sum, n| 1.0 + sum * rest / f64::from(n));
    (series * (1u64 << x as u32) as f64 * 100.0).round() as u64
}

/// Where a bid comes from: half of them from four well-known channels, the others from ten thousand others.
struct Channel(u64);

const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;

/// What the words in urls are drawn from.
const URLS: u64 = 0x75_726C73;

impl Channel {
    fn of(event: &Event) -> Channel {
        match is_hot(event.draw(6), 2) {
            true => Channel(CHANNELS + up_to(event.draw(7), HOT_CHANNELS.len() as u64 - 1)),
            false => Channel(up_to(event.draw(7), CHANNELS - 1)),
        }
    }

    fn hot(&self) -> Option<&'static str> {
        HOT_CHANNELS.get(self.0.checked_sub(CHANNELS)? as usize).copied()
    }

    fn name(&self, out: &mut Vec<u8>) {
        match self.hot() {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => {
                out.extend_from_slice(b"channel-");
                push_number(self.0, out);
            }
        }
    }

    /// Always the same for a channel. Nine in ten of the lesser ones have their number, scrambled, as a parameter.
    fn url(&self, out: &mut Vec<u8>) {
        let cell = draw(URLS, self.0);
        out.extend_from_slice(b"https://www.nexmark.com/");
        for word in 0..3 {
            let bits = draw(cell, word);
            letters(bits, 3 + (bits & 1), out);
            out.push(b'/');
        }
        out.extend_from_slice(b"item.htm?query=1");
        if self.hot().is_none() && is_hot(draw(cell, 3), 10) {
            out.extend_from_slice(b"&channel_id=");
            push_number(u64::from((self.0 as u32).reverse_bits() >> 1), out);
        }
    }
}

/// Fills up from `others` bytes to `size`, give or take a fifth.
fn extra(bits: u64, size: u64, others: u64, out: &mut Vec<u8>) {
    let missing = size.saturating_sub(others);
    let fifth = (missing + 2) / 5;
    letters(bits, missing - fifth + up_to(draw(bits, LENGTH), (2 * fifth).saturating_sub(1)), out);
}

/// From `least` to `most` letters, with a blank here and there.
fn text(bits: u64, least: u64, most: u64, out: &mut Vec<u8>) {
    let start = out.len();
    letters(bits, least + up_to(draw(bits, LENGTH), most - least), out);
    let blanks = draw(bits, BLANKS);
    let end = out.len() - 1;
    for (n, byte) in out[start..end].iter_mut().enumerate().skip(1) {
        if draw(blanks, n as u64).is_multiple_of(13) {
            *byte = b' ';
        }
    }
}

/// `count` letters, eight from a draw: this is most of the work of a table read whole, and the loop becomes vector instructions.
/// 256 is no multiple of 26, so some letters come a tenth more often than others.
fn letters(bits: u64, count: u64, out: &mut Vec<u8>) {
    let end = out.len() + count as usize;
    for n in 0..count.div_ceil(8) {
        let eight = draw(bits, n).to_le_bytes().map(|byte| b'a' + ((u16::from(byte) * 26) >> 8) as u8);
        out.extend_from_slice(&eight);
    }
    out.truncate(end);
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut start, mut rest) = ([0; 20], 20, number);
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return out.extend_from_slice(&digits[start..]);
        }
    }
}
