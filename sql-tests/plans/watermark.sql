-- A watermark is read off the column it needs, which the query does not.
CREATE TABLE events (who STRING, at_ STRING, ts AS TO_TIMESTAMP(at_), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv');
EXPLAIN SELECT who FROM events;
