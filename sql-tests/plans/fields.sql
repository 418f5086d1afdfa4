-- Fields of rows that nobody looks at are not read.
CREATE TABLE events (
  kind INT,
  person ROW<id BIGINT NOT NULL, name STRING, home ROW<city STRING, street STRING>>,
  bid ROW<auction BIGINT, price BIGINT, url STRING, at_ TIMESTAMP(3)>,
  ts AS bid.at_,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'filesystem', 'path' = '{data}/people.json', 'format' = 'json');
CREATE VIEW bids AS SELECT bid.auction, bid.price, bid.url, ts FROM events WHERE kind = 2;

-- Of a view, those that the query asks for, and the watermark's.
EXPLAIN SELECT auction, price FROM bids WHERE price > 10;

-- Fields that cannot be NULL are read.
EXPLAIN SELECT person.home.city FROM events;

-- A row as a whole.
EXPLAIN SELECT bid FROM events WHERE person.name = 'a';

-- In a GROUP BY.
EXPLAIN SELECT bid.auction, MAX(bid.price) FROM events GROUP BY bid.auction;

-- What one of two scans of the table asks for.
EXPLAIN SELECT b.auction, p.name
FROM bids AS b JOIN (SELECT person.id, person.name FROM events WHERE kind = 0) AS p ON b.auction = p.id;

-- A key is read as a whole: rows are told apart by it.
CREATE TABLE places (place ROW<x INT, y INT>, v ROW<a INT, b INT>, PRIMARY KEY (place) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = '{data}/people.json', 'format' = 'json', 'changelog.mode' = 'upsert');
EXPLAIN SELECT v.a FROM places WHERE place.x = 1;
