CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at_), INTERVAL '10' SECOND)) WHERE window_start > TIMESTAMP '2020-01-01 00:00:00' GROUP BY window_start, window_end;
