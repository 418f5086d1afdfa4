CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT item, window_start, window_end, COUNT(*) AS n, SUM(price) AS s FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at_), INTERVAL '10' SECOND)) WHERE price > 1 GROUP BY item, window_start, window_end;
