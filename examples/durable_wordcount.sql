-- Counts the words of a file that grows, and never forgets one: killed and started again, it goes on where it was.
--
--   touch words.txt
--   tidemill run examples/durable_wordcount.sql
--   echo 'the tide' >> words.txt      in another terminal, as often as you like

SET 'execution.checkpointing.interval' = '1 s';

CREATE TABLE lines (line STRING) WITH (
  'connector' = 'filesystem',
  'path' = '${FILE:-words.txt}',
  'format' = 'raw',
  'source.follow' = 'true'
);

CREATE TABLE counts (word STRING, times BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH ('connector' = 'print');

INSERT INTO counts
SELECT word, COUNT(*)
FROM lines CROSS JOIN UNNEST(REGEXP_EXTRACT_ALL(LOWER(line), '([a-z]+)')) AS found(word)
GROUP BY word;
