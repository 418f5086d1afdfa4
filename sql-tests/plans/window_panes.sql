CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
SET 'execution.runtime-mode' = 'batch';
EXPLAIN SELECT item, window_start, window_end, COUNT(*) AS n, MAX(price) AS m FROM TABLE(HOP(TABLE bids, DESCRIPTOR(at_), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY item, window_start, window_end;
EXPLAIN SELECT window_time, item, window_end, window_start, SUM(price) FILTER (WHERE price > 1) AS s FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at_), INTERVAL '10' SECOND)) GROUP BY window_start, item, window_end, window_time;
EXPLAIN SELECT window_start, window_end, LISTAGG(item) AS items FROM TABLE(HOP(TABLE bids, DESCRIPTOR(at_), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
