-- Nexmark q5: which auctions had the most bids in the last 10 seconds? Every 2 seconds anew.

CREATE TABLE nexmark_q5 (auction BIGINT, num BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO nexmark_q5
SELECT counts.auction, counts.num
FROM (
  SELECT auction, window_start AS starts, window_end AS ends, COUNT(*) AS num
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
  GROUP BY auction, window_start, window_end
) AS counts
JOIN (
  SELECT starts, ends, MAX(num) AS most
  FROM (
    SELECT auction, window_start AS starts, window_end AS ends, COUNT(*) AS num
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
  ) AS again
  GROUP BY starts, ends
) AS tops
ON counts.starts = tops.starts AND counts.ends = tops.ends AND counts.num >= tops.most;
