-- What a stream says when it changes its mind. How many words occur once, how many twice, and so on? Each further
-- word takes one back from somewhere: a retraction, as inserts and deletes on a table would look.
--
--   tidemill run examples/changelog.sql

CREATE TABLE said (word STRING) WITH (
  'connector' = 'values',
  'format' = 'raw',
  'data' = 'ebb
flow
ebb
ebb'
);

SET 'execution.runtime-mode' = 'streaming';
SET 'sql-client.execution.result-mode' = 'changelog';
-- One shard, so that rows keep their order; a change for every row of input, as Flink makes them.
SET 'parallelism.default' = '1';
SET 'table.exec.emit' = 'each-row';

SELECT times, COUNT(*) AS words
FROM (SELECT word, COUNT(*) AS times FROM said GROUP BY word)
GROUP BY times;

-- The same with one net change per epoch, the default: all four rows arrive at once, so nothing is ever taken back.
RESET 'table.exec.emit';

SELECT times, COUNT(*) AS words
FROM (SELECT word, COUNT(*) AS times FROM said GROUP BY word)
GROUP BY times;
