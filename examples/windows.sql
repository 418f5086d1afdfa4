-- The best bids of each ten minutes, in event time, and what came too late for them.
--
--   tidemill run examples/windows.sql

SET 'execution.runtime-mode' = 'streaming';

CREATE TABLE bids (
  item STRING,
  price INT,
  at_ TIMESTAMP(3),
  WATERMARK FOR at_ AS at_ - INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/bids.csv',
  'format' = 'csv'
);

SELECT item, window_start, window_end, COUNT(*) AS bids, MAX(price) AS best
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at_), INTERVAL '10' MINUTES))
GROUP BY item, window_start, window_end;

SELECT item, price, at_, late_at, reason
FROM late('SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at_), INTERVAL ''10'' MINUTES)) GROUP BY window_start, window_end');
