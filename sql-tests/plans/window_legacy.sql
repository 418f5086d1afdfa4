CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT item, HOP_START(at_, INTERVAL '5' SECOND, INTERVAL '10' SECOND) AS s, COUNT(*) AS n FROM bids WHERE price > 1 GROUP BY item, HOP(at_, INTERVAL '5' SECOND, INTERVAL '10' SECOND);
