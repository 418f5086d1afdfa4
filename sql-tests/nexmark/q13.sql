-- Nexmark q13: adds to each bid what a file says of its auction.
--
-- The file has a row for each of 10 000 keys:
--
--   mkdir -p /tmp/nexmark && seq 0 9999 | awk '{ print $1 "," $1 }' > /tmp/nexmark/side_input.csv

CREATE TABLE side_input (key BIGINT, `value` STRING) WITH (
  'connector' = 'filesystem', 'path' = '${NEXMARK_DIR:-/tmp/nexmark}/side_input.csv', 'format' = 'csv'
);

CREATE TABLE nexmark_q13 (
  auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), `value` STRING
) WITH ('connector' = 'blackhole');

INSERT INTO nexmark_q13
SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.`value`
FROM (SELECT *, PROCTIME() AS p_time FROM bid) AS b
JOIN side_input FOR SYSTEM_TIME AS OF b.p_time AS s ON MOD(b.auction, 10000) = s.key;
