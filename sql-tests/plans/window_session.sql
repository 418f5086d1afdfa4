CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT item, window_start, COUNT(*) AS n FROM TABLE(SESSION(TABLE bids PARTITION BY item, DESCRIPTOR(at_), INTERVAL '5' SECOND)) GROUP BY item, window_start, window_end;
