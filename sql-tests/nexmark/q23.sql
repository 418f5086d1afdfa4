-- Nexmark q23: every bid with its bidder, and with the auctions that the bidder has opened.

CREATE TABLE nexmark_q23 (
  auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, `dateTime` TIMESTAMP(3), extra STRING,
  name STRING, city STRING, itemName STRING, category BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO nexmark_q23
SELECT
  B.auction, B.bidder, B.price, B.channel, B.url, B.`dateTime`, B.extra, P.name, P.city, A.itemName, A.category
FROM bid AS B
JOIN person AS P ON P.id = B.bidder
JOIN auction AS A ON A.seller = B.bidder;
