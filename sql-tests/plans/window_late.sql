CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
SET 'table.exec.emit.allow-lateness' = '30 s'; SET 'table.exec.emit.early-fire.enabled' = 'true'; SET 'table.exec.emit.early-fire.delay' = '5 s';
EXPLAIN SELECT TUMBLE_START(at_, INTERVAL '10' SECOND) AS s, COUNT(*) AS n FROM bids GROUP BY TUMBLE(at_, INTERVAL '10' SECOND);
