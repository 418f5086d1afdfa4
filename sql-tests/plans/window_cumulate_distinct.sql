CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT window_end, COUNT(DISTINCT item) AS n FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(at_), INTERVAL '5' SECOND, INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
