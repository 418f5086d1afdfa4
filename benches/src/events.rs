//! Events of an auction house in the proportions, layout and size of Nexmark's: in 50, 1 person, 3 auctions and 46 bids.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::number::Chance;
use crate::passthrough::Format;

/// What was written.
#[derive(Default)]
pub struct Totals {
    pub bytes: u64,
    pub bids: u64,
    /// Sum of the bids' auctions.
    pub auctions: u64,
    /// Sum of the bids' prices.
    pub prices: u64,
    /// Bytes in the bids' `extra`.
    pub extra_bytes: u64,
}

/// Writes `count` events, 10 000 per second of event time.
pub fn write(path: &Path, format: Format, count: u64) -> io::Result<Totals> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut chance, mut totals, mut line) = (Chance::new(11), Totals::default(), Vec::with_capacity(1024));
    for number in 0..count {
        line.clear();
        let event = Event::of(number, &mut chance);
        if let Kind::Bid { auction, price, .. } = &event.kind {
            totals.bids += 1;
            totals.auctions += auction;
            totals.prices += price;
            totals.extra_bytes += event.extra.len() as u64;
        }
        match format {
            Format::Json => event.json(&mut line)?,
            Format::Csv => event.csv(&mut line)?,
        }
        out.write_all(&line)?;
        totals.bytes += line.len() as u64;
    }
    out.flush()?;
    Ok(totals)
}

struct Event {
    time: String,
    extra: String,
    kind: Kind,
}

enum Kind {
    Person { id: u64, name: String, email: String, card: String, city: &'static str, state: &'static str },
    Auction { id: u64, item: String, description: String, bid: u64, reserve: u64, expires: String, seller: u64 },
    Bid { auction: u64, bidder: u64, price: u64, channel: &'static str, url: String },
}

impl Event {
    fn of(number: u64, chance: &mut Chance) -> Event {
        let (epoch, place) = (number / 50, number % 50);
        // (kind and size of `extra`) as in Nexmark: events of 200, 500 and 100 bytes on average.
        let (kind, extra) = match place {
            0 => {
                let (first, last) = (chance.pick(&FIRST_NAMES), chance.pick(&LAST_NAMES));
                let (city, state) = chance.pick(&CITIES);
                let kind = Kind::Person {
                    id: 1000 + epoch,
                    name: format!("{first} {last}"),
                    email: format!("{}@{}.com", letters(chance, 7), letters(chance, 5)),
                    card: (0..4).map(|_| format!("{:04}", chance.below(10_000))).collect::<Vec<_>>().join(" "),
                    city,
                    state,
                };
                (kind, 90)
            }
            1..=3 => {
                let kind = Kind::Auction {
                    id: 1000 + epoch * 3 + place - 1,
                    item: letters(chance, 12),
                    description: letters(chance, 60),
                    bid: 100 + chance.below(10_000),
                    reserve: 200 + chance.below(20_000),
                    expires: time(number / 10 + chance.below(100_000)),
                    seller: 1000 + chance.below(epoch + 1),
                };
                (kind, 330)
            }
            _ => {
                let kind = Kind::Bid {
                    // Most bids are for one of the latest auctions.
                    auction: 1000 + (epoch * 3).saturating_sub(chance.below(100)),
                    bidder: 1000 + chance.below(epoch + 1),
                    price: 100 + chance.below(10_000_000),
                    channel: chance.pick(&CHANNELS),
                    url: format!("https://www.nexmark.com/{}/item.htm?query=1", letters(chance, 12)),
                };
                (kind, 40)
            }
        };
        let extra_bytes = extra / 2 + chance.below(extra);
        Event { time: time(number / 10), extra: letters(chance, extra_bytes), kind }
    }

    fn json(&self, out: &mut Vec<u8>) -> io::Result<()> {
        match &self.kind {
            Kind::Person { id, name, email, card, city, state } => write!(
                out,
                r#"{{"event_type":0,"person":{{"id":{id},"name":"{name}","emailAddress":"{email}","creditCard":"{card}","city":"{city}","state":"{state}""#
            ),
            Kind::Auction { id, item, description, bid, reserve, expires, seller } => write!(
                out,
                r#"{{"event_type":1,"auction":{{"id":{id},"itemName":"{item}","description":"{description}","initialBid":{bid},"reserve":{reserve},"expires":"{expires}","seller":{seller},"category":10"#
            ),
            Kind::Bid { auction, bidder, price, channel, url } => write!(
                out,
                r#"{{"event_type":2,"bid":{{"auction":{auction},"bidder":{bidder},"price":{price},"channel":"{channel}","url":"{url}""#
            ),
        }?;
        writeln!(out, r#","dateTime":"{}","extra":"{}"}}}}"#, self.time, self.extra)
    }

    fn csv(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let (time, extra) = (&self.time, &self.extra);
        match &self.kind {
            Kind::Person { id, name, email, card, city, state } => {
                writeln!(out, "0,{time},{extra},{id},{name},{email},{card},{city},{state},,,,,,,,,,,,")
            }
            Kind::Auction { id, item, description, bid, reserve, expires, seller } => writeln!(
                out,
                "1,{time},{extra},{id},,,,,,{item},{description},{bid},{reserve},{expires},{seller},10,,,,,"
            ),
            Kind::Bid { auction, bidder, price, channel, url } => {
                writeln!(out, "2,{time},{extra},,,,,,,,,,,,,,{auction},{bidder},{price},{channel},{url}")
            }
        }
    }
}

const FIRST_NAMES: [&str; 8] = ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie"];
const LAST_NAMES: [&str; 8] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones"];
const CITIES: [(&str, &str); 5] =
    [("Phoenix", "AZ"), ("Los Angeles", "CA"), ("Boise", "ID"), ("Portland", "OR"), ("Seattle", "WA")];
const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

fn letters(chance: &mut Chance, count: u64) -> String {
    (0..count).map(|_| char::from(b'a' + chance.below(26) as u8)).collect()
}

/// Milliseconds after the start of 15 July 2015, within two weeks of it.
fn time(ms: u64) -> String {
    let (day, hour, minute, second) = (ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60);
    format!("2015-07-{:02} {hour:02}:{minute:02}:{second:02}.{:03}", 15 + day % 16, ms % 1000)
}
