-- Continues sequences in which each number is the sum of the two before it. In one terminal
--
--   nc -lk 9999
--
-- and in another
--
--   tidemill run examples/fibonacci.sql
--
-- then type lines such as `A 1 2` into the first: a name, and the two numbers to begin with. Ctrl-C ends the query.

CREATE TABLE seeds (name STRING, a BIGINT, b BIGINT) WITH (
  'connector' = 'socket',
  'hostname' = 'localhost',
  'port' = '9999',
  'format' = 'csv',
  'csv.field-delimiter' = ' '
);

-- Each row goes round, and comes back as the next of its sequence, for as long as WHERE lets it.
WITH RECURSIVE fibonacci (name, n, next_n) AS (
  SELECT name, a, b FROM seeds
  UNION ALL
  SELECT name, next_n, n + next_n FROM fibonacci WHERE next_n <= ${BOUND:-100}
)
SELECT name, n FROM fibonacci;
