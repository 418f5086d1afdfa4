CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
CREATE TABLE clicks (who STRING, p AS PROCTIME()) WITH ('connector' = 'socket', 'hostname' = 'localhost', 'port' = '9999', 'format' = 'csv');
EXPLAIN SELECT who, window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(p), INTERVAL '10' SECOND)) GROUP BY who, window_start, window_end;
