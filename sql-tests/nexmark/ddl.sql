-- The auction house of the Nexmark benchmark: persons, auctions, and the bids on them.
--
--   cat sql-tests/nexmark/ddl.sql sql-tests/nexmark/q17.sql | tidemill run - -D EVENTS_NUM=1000000
--
-- Tables, columns and variables are those of the benchmark's Flink scripts (github.com/nexmark/nexmark, nexmark-flink), so
-- that its queries run over them. The queries beside this file ask what those ask, of the same views.

CREATE TABLE datagen (
  event_type INT,
  person ROW<
    id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING,
    `dateTime` TIMESTAMP(3), extra STRING>,
  auction ROW<
    id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT,
    `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>,
  bid ROW<
    auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
    `dateTime` TIMESTAMP(3), extra STRING>,
  `dateTime` AS CASE event_type
    WHEN 0 THEN person.`dateTime`
    WHEN 1 THEN auction.`dateTime`
    ELSE bid.`dateTime`
  END,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (
  'connector' = 'nexmark',
  'first-event.rate' = '${TPS:-10000}',
  'next-event.rate' = '${TPS:-10000}',
  'events.num' = '${EVENTS_NUM:-100000}',
  'person.proportion' = '${PERSON_PROPORTION:-1}',
  'auction.proportion' = '${AUCTION_PROPORTION:-3}',
  'bid.proportion' = '${BID_PROPORTION:-46}',
  'keep-alive' = '${KEEP_ALIVE:-false}',
  'stop-at' = '${STOP_AT:--1}',
  'max-emit-speed' = '${MAX_EMIT_SPEED:-true}'
);

CREATE VIEW person AS
SELECT
  person.id, person.name, person.emailAddress, person.creditCard, person.city, person.state,
  `dateTime`, person.extra
FROM ${NEXMARK_TABLE:-datagen} WHERE event_type = 0;

CREATE VIEW auction AS
SELECT
  auction.id, auction.itemName, auction.description, auction.initialBid, auction.reserve,
  `dateTime`, auction.expires, auction.seller, auction.category, auction.extra
FROM ${NEXMARK_TABLE:-datagen} WHERE event_type = 1;

CREATE VIEW bid AS
SELECT
  bid.auction, bid.bidder, bid.price, bid.channel, bid.url,
  `dateTime`, bid.extra
FROM ${NEXMARK_TABLE:-datagen} WHERE event_type = 2;
