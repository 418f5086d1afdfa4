CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT window_start, item, SUM(price) AS s FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at_), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, GROUPING SETS ((item), ());
