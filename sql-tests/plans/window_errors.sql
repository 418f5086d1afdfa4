CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
CREATE TABLE plain (item STRING, at_ TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT COUNT(*) AS n FROM TABLE(TUMBLE(TABLE plain, DESCRIPTOR(at_), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
