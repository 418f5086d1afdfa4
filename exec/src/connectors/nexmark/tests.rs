use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Waker};

use arrow::array::{Array, AsArray, StructArray, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};

use super::event::Kind;
use super::values::{fields, price};
use super::*;
use crate::connectors::testing::{read_batches, registry, table};

const MS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// The schema as the benchmark's DDL declares it.
fn schema() -> Vec<(&'static str, DataType)> {
    let row = |text: &str| {
        let fields = text.split(", ").map(|field| {
            let (name, kind) = field.split_once(' ').unwrap();
            let kind = match kind {
                "BIGINT" => DataType::Int64,
                "STRING" => DataType::Utf8,
                _ => MS,
            };
            Field::new(name, kind, true)
        });
        DataType::Struct(fields.collect())
    };
    let person = "id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING, \
                  dateTime TIMESTAMP(3), extra STRING";
    let auction = "id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT, \
                   dateTime TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING";
    let bid = "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), \
               extra STRING";
    vec![("event_type", DataType::Int32), ("person", row(person)), ("auction", row(auction)), ("bid", row(bid))]
}

fn bid_of(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect())
}

fn source(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let mut table = table(columns, options);
    table.options.set("connector", "nexmark");
    let registry = registry();
    registry.connector(&table)?;
    Nexmark.source(&table, &(0..columns.len()).collect::<Vec<_>>(), &registry)
}

fn error(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> String {
    source(columns, options).map(|_| ()).unwrap_err().to_string()
}

async fn open(source: &dyn Source) -> Box<dyn Reader> {
    let splits = source.splits().await.unwrap();
    source.open(splits.into_iter().map(|split| (split, None)).collect()).await.unwrap()
}

/// All that a reader gives, as one batch.
async fn rest(reader: &mut dyn Reader) -> RecordBatch {
    let batches: Vec<RecordBatch> =
        read_batches(reader).await.unwrap().into_iter().map(|batch| batch.rows.into_rows()).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

async fn rows(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> RecordBatch {
    rest(open(source(columns, options).unwrap().as_ref()).await.as_mut()).await
}

/// The events of one kind, with their nulls gone.
fn of_kind(rows: &RecordBatch, kind: Kind) -> StructArray {
    let column = rows.column_by_name(["person", "auction", "bid"][kind as usize]).unwrap();
    let valid = arrow::compute::is_not_null(column).unwrap();
    arrow::compute::filter(column, &valid).unwrap().as_struct().clone()
}

fn numbers<'a>(rows: &'a StructArray, field: &str) -> &'a [i64] {
    rows.column_by_name(field).unwrap().as_primitive::<Int64Type>().values()
}

fn times<'a>(rows: &'a StructArray, field: &str) -> &'a [i64] {
    rows.column_by_name(field).unwrap().as_primitive::<TimestampMillisecondType>().values()
}

fn texts<'a>(rows: &'a StructArray, field: &str) -> impl Iterator<Item = &'a str> {
    rows.column_by_name(field).unwrap().as_string::<i32>().iter().flatten()
}

#[test]
fn the_fields_are_those_of_the_benchmark() {
    for (kind, (_, column)) in [Kind::Person, Kind::Auction, Kind::Bid].into_iter().zip(&schema()[1..]) {
        let DataType::Struct(declared) = column else { panic!("{column}") };
        let names: Vec<&str> = fields(kind).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, declared.iter().map(|field| field.name().as_str()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_event_is_the_same_in_whatever_split_and_batch_it_comes() {
    let options = [("events.num", "40000"), ("first-event.rate", "2000000")];
    // One reader of all splits gives the events in their order.
    let all = rows(&schema(), &options).await;
    assert_eq!(all.num_rows(), 40_000);
    let source = source(&schema(), &options).unwrap();
    for (index, split) in source.splits().await.unwrap().into_iter().enumerate() {
        let part = rest(source.open(vec![(split, None)]).await.unwrap().as_mut()).await;
        let events = (0..40_000).filter(|event| event / 1024 % SPLITS == index as u64);
        assert_eq!(part, take_record_batch(&all, &UInt64Array::from_iter_values(events)).unwrap(), "split {index}");
    }
    // Paced, batches are as large as the clock says.
    let paced = [&options[..], &[("max-emit-speed", "false")]].concat();
    assert_eq!(rows(&schema(), &paced).await, all);
}

#[tokio::test]
async fn reading_resumes_after_every_batch() {
    for options in
        [[("events.num", "5000"), ("auction.avg-size", "64kb")], [("events.num", "60000"), ("stop-at", "40000")]]
    {
        let columns = [("bid", bid_of(&[("price", DataType::Int64)]))];
        let source = source(&columns, &options).unwrap();
        let split = SplitId::new("1");
        let mut reader = source.open(vec![(split.clone(), None)]).await.unwrap();
        let batches = read_batches(reader.as_mut()).await.unwrap();
        assert!(batches.len() > 2);
        let all =
            concat_batches(&batches[0].rows.rows().schema(), batches.iter().map(|batch| batch.rows.rows())).unwrap();
        let mut seen = 0;
        for batch in &batches[..batches.len() - 1] {
            seen += batch.rows.len();
            let mut resumed = source.open(vec![(split.clone(), Some(batch.resume_at.clone()))]).await.unwrap();
            assert_eq!(rest(resumed.as_mut()).await, all.slice(seen, all.num_rows() - seen));
        }
        let last = batches.last().unwrap().resume_at.clone();
        assert!(source.open(vec![(split, Some(last))]).await.unwrap().next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn kinds_come_in_rounds_and_each_fills_its_own_column() {
    let options = [("events.num", "700"), ("person.proportion", "2"), ("bid.proportion", "5")];
    let rows = rows(&schema(), &options).await;
    let kinds = rows.column(0).as_primitive::<Int32Type>().values();
    assert_eq!(kinds[..10], [0, 0, 1, 1, 1, 2, 2, 2, 2, 2]);
    assert_eq!(kinds[..10], kinds[10..20]);
    for (row, kind) in kinds.iter().enumerate() {
        let filled: Vec<i32> = (0..3).filter(|column| rows.column(1 + *column as usize).is_valid(row)).collect();
        assert_eq!(filled, [*kind]);
    }
    let ids = |kind| numbers(&of_kind(&rows, kind), "id").to_vec();
    assert_eq!(ids(Kind::Person), (1000..1140).collect::<Vec<_>>());
    assert_eq!(ids(Kind::Auction), (1000..1210).collect::<Vec<_>>());
}

#[tokio::test]
async fn bids_are_mostly_for_the_hot_auction_and_by_the_hot_bidder() {
    let rows = rows(&schema(), &[("events.num", "50000"), ("auction.hot-ratio.sellers", "1")]).await;
    let (bids, auctions) = (of_kind(&rows, Kind::Bid), of_kind(&rows, Kind::Auction));
    let share = |field: &str, hot: i64| {
        let values = numbers(&bids, field);
        values.iter().filter(|value| *value % 100 == hot).count() as f64 / values.len() as f64
    };
    // One in a hundred of the others is hot by chance.
    assert!((0.49..0.53).contains(&share("auction", 0)), "{}", share("auction", 0));
    assert!((0.74..0.77).contains(&share("bidder", 1)), "{}", share("bidder", 1));
    // 46 bids after 3 auctions after 1 person: what bids name is old enough to exist, or soon will.
    for (n, (auction, bidder)) in (0..).zip(numbers(&bids, "auction").iter().zip(numbers(&bids, "bidder"))) {
        let round = n / 46;
        assert!((1000..=1000 + round * 3 + 2 + 10).contains(auction), "bid {n} is for {auction}");
        assert!((1000..=1000 + round + 10).contains(bidder), "bid {n} is by {bidder}");
    }
    let hot = numbers(&auctions, "seller").iter().filter(|seller| *seller % 100 == 0).count();
    assert!(hot < auctions.len() / 20, "nobody is hot, but {hot} auctions are by a hot seller");
    assert_eq!(numbers(&auctions, "category").iter().collect::<BTreeSet<_>>(), [10, 11, 12, 13, 14].iter().collect());
    assert!(numbers(&auctions, "reserve").iter().zip(numbers(&auctions, "initialBid")).all(|(r, b)| r > b));
}

#[tokio::test]
async fn each_order_of_magnitude_has_as_many_prices() {
    assert_eq!((price(0), price(u64::MAX)), (100, 100_000_000));
    let rows = rows(&schema(), &[("events.num", "50000")]).await;
    let bids = of_kind(&rows, Kind::Bid);
    for digits in 3..=8 {
        let range = 10i64.pow(digits - 1)..10i64.pow(digits);
        let count = numbers(&bids, "price").iter().filter(|price| range.contains(price)).count();
        // Five standard deviations around 46 000 / 6.
        assert!((7_267..8_067).contains(&count), "{count} prices have {digits} digits");
    }
}

#[tokio::test]
async fn times_follow_from_the_rate_and_auctions_end_after_they_began() {
    let options = [("events.num", "3000"), ("first-event.rate", "300"), ("base-time", "1970-01-01 00:00:01")];
    let rows = rows(&schema(), &options).await;
    let mut found =
        [Kind::Person, Kind::Auction, Kind::Bid].map(|kind| times(&of_kind(&rows, kind), "dateTime").to_vec()).concat();
    found.sort_unstable();
    assert_eq!(found, (0..3000).map(|event| 1000 + event * 1000 / 300).collect::<Vec<_>>());
    let auctions = of_kind(&rows, Kind::Auction);
    let lengths = times(&auctions, "expires").iter().zip(times(&auctions, "dateTime")).map(|(end, start)| end - start);
    // A hundred auctions open in 1666 events, thus 5.5 s.
    let lengths: Vec<i64> = lengths.collect();
    assert!(lengths.iter().all(|length| (1..=11_106).contains(length)), "{lengths:?}");
    assert!((5_000..6_100).contains(&(lengths.iter().sum::<i64>() / lengths.len() as i64)));
}

#[tokio::test]
async fn events_are_as_large_as_asked() {
    let options = [("events.num", "100000"), ("person.avg-size", "300b"), ("bid.avg-size", "0")];
    let rows = rows(&schema(), &options).await;
    let size = |kind: Kind, uncounted: &[&str]| {
        let events = of_kind(&rows, kind);
        let mut bytes = 0;
        for (name, column) in events.fields().iter().zip(events.columns()) {
            bytes += match column.data_type() {
                _ if uncounted.contains(&name.name().as_str()) => 0,
                DataType::Utf8 => texts(&events, name.name()).map(str::len).sum(),
                _ => 8 * events.len(),
            };
        }
        bytes / events.len()
    };
    assert!((290..310).contains(&size(Kind::Person, &["dateTime"])), "{}", size(Kind::Person, &["dateTime"]));
    assert!((490..510).contains(&size(Kind::Auction, &[])), "{}", size(Kind::Auction, &[]));
    assert_eq!(size(Kind::Bid, &["channel", "url"]), 32);
}

#[tokio::test]
async fn a_channel_has_one_url_and_most_have_a_number_in_it() {
    let rows = rows(&schema(), &[("events.num", "50000")]).await;
    let bids = of_kind(&rows, Kind::Bid);
    let pairs: BTreeSet<(&str, &str)> = texts(&bids, "channel").zip(texts(&bids, "url")).collect();
    let channels: BTreeSet<&str> = pairs.iter().map(|(channel, _)| *channel).collect();
    assert_eq!(pairs.len(), channels.len());
    let hot = texts(&bids, "channel").filter(|channel| !channel.starts_with("channel-")).count();
    assert!((0.48..0.52).contains(&(hot as f64 / bids.len() as f64)), "{hot} of {}", bids.len());
    let with_number = pairs.iter().filter(|(_, url)| url.contains("&channel_id=")).count();
    assert!((0.88..0.92).contains(&(with_number as f64 / pairs.len() as f64)), "{with_number} of {}", pairs.len());
    assert!(pairs.iter().all(|(_, url)| url.split('/').count() == 7), "three directories each");
}

#[tokio::test]
async fn a_projection_and_fewer_fields_in_another_order_have_the_same_values() {
    let options = [("events.num", "3000")];
    let all = rows(&schema(), &options).await;
    let table = table(&schema(), &options);
    let source = Nexmark.source(&table, &[3, 0], &registry()).unwrap();
    let projected = rest(open(source.as_ref()).await.as_mut()).await;
    assert_eq!(projected.columns(), [Arc::clone(all.column(3)), Arc::clone(all.column(0))]);

    let columns =
        [("bid", bid_of(&[("url", DataType::Utf8), ("price", DataType::Int64)])), ("event_type", DataType::Int32)];
    let few = rows(&columns, &options).await;
    let (few, bids) = (of_kind(&few, Kind::Bid), of_kind(&all, Kind::Bid));
    assert_eq!(numbers(&few, "price"), numbers(&bids, "price"));
    assert!(texts(&few, "url").eq(texts(&bids, "url")));

    let source = Nexmark.source(&table, &[], &registry()).unwrap();
    let counted = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
    assert_eq!(counted.iter().map(|batch| batch.rows.len()).sum::<usize>(), 3000);
}

#[tokio::test]
async fn a_table_ends_with_its_events_unless_it_is_kept_alive() {
    let columns = [("event_type", DataType::Int32)];
    let bounded = |options: &[(&str, &str)]| source(&columns, options).unwrap().bounded();
    assert!(!bounded(&[]));
    assert!(bounded(&[("events.num", "7")]));
    assert!(bounded(&[("stop-at", "7")]));
    assert!(!bounded(&[("events.num", "7"), ("keep-alive", "true")]));
    assert_eq!(rows(&columns, &[("events.num", "7"), ("stop-at", "5")]).await.num_rows(), 5);
    assert_eq!(rows(&columns, &[("events.num", "7"), ("stop-at", "9")]).await.num_rows(), 7);

    let source = source(&columns, &[("events.num", "7"), ("keep-alive", "true")]).unwrap();
    let mut reader = open(source.as_ref()).await;
    assert_eq!(reader.next().await.unwrap().unwrap().rows.len(), 7);
    assert!(pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test]
async fn a_slow_table_gives_its_first_event_at_once_and_one_split_after_the_other() {
    let options = [("max-emit-speed", "false"), ("first-event.rate", "150")];
    let source = source(&[("event_type", DataType::Int32)], &options).unwrap();
    let mut reader = open(source.as_ref()).await;
    for split in ["0", "1", "2"] {
        let batch = reader.next().await.unwrap().unwrap();
        assert_eq!((batch.split, batch.rows.len()), (SplitId::new(split), 1));
    }
}

#[test]
fn columns_that_the_benchmark_lacks_are_errors() {
    let none: &[(&str, &str)] = &[];
    assert!(error(&[("bids", DataType::Int64)], none).contains("did you mean bid?"));
    assert_eq!(
        error(&[("event_type", DataType::Int64)], none),
        "column event_type of table t is declared as BIGINT\n  why: connector 'nexmark' gives INT for it\n  \
         fix: declare it as INT"
    );
    assert!(error(&[("bid", DataType::Utf8)], none).contains("column bid of table t is declared as STRING"));
    assert!(error(&[("bid", bid_of(&[("prise", DataType::Int64)]))], none).contains("did you mean price?"));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let wrong = error(&[("bid", bid_of(&[("dateTime", micros)]))], none);
    assert!(wrong.contains("bid.dateTime of table t is declared as TIMESTAMP(6)"), "{wrong}");
    assert!(wrong.contains("TIMESTAMP(3)"), "{wrong}");
    let short = Field::new("url", DataType::Utf8, true)
        .with_metadata([("tidemill.type".to_string(), "VARCHAR(20)".to_string())].into());
    let wrong = error(&[("bid", DataType::Struct(Fields::from(vec![short])))], none);
    assert!(wrong.contains("bid.url of table t is declared as VARCHAR(20)"), "{wrong}");
}

#[test]
fn options_that_make_no_sense_are_errors() {
    let columns = [("event_type", DataType::Int32)];
    let error = |name, value| error(&columns, &[(name, value)]);
    assert!(error("bid.hot-ratio.auction", "2").contains("did you mean bid.hot-ratio.auctions?"));
    assert!(error("bid.hot-ratio.auctions", "0").contains("from 1 to 2147483647"));
    assert!(error("first-event.rate", "0").contains("from 1 to"));
    assert!(error("next-event.rate", "0").contains("from 1 to"));
    assert!(error("person.proportion", "-1").contains("from 0 to"));
    assert!(error("events.num", "-1").contains("from 0 to"));
    assert!(error("stop-at", "-2").contains("from 0 to"));
    assert!(error("bid.avg-size", "1gb").contains("at most 64 mb"));
    assert!(error("base-time", "today").contains("such as 2015-07-15 00:00:00"));
    let nothing = [("person.proportion", "0"), ("auction.proportion", "0"), ("bid.proportion", "0")];
    assert!(super::tests::error(&columns, &nothing).contains("table t has no events"));
}

#[tokio::test]
async fn a_house_without_auctions_or_persons_still_has_bids() {
    let options = [("events.num", "2000"), ("person.proportion", "0"), ("auction.proportion", "0")];
    assert_eq!(of_kind(&rows(&schema(), &options).await, Kind::Bid).len(), 2000);
}

#[test]
fn it_is_no_sink() {
    let error = Nexmark.sink(&table(&schema(), &[]), &registry()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("connector 'nexmark' only reads"), "{error}");
}
