-- Which stations can be reached from which, while the lines between them are still being built.
--
--   touch lines.txt
--   tidemill run examples/reachability.sql
--   echo 'Eling Totton' >> lines.txt      in another terminal, as often as you like: from where to where
--
-- A new line extends the journeys found before it, on both sides. Ctrl-C ends the query.

CREATE TABLE lines (here STRING, there STRING) WITH (
  'connector' = 'filesystem',
  'path' = '${FILE:-lines.txt}',
  'format' = 'csv',
  'csv.field-delimiter' = ' ',
  'source.follow' = 'true'
);

-- UNION, not UNION ALL: a journey that is known does not go round again, so circles end.
WITH RECURSIVE reachable (here, there) AS (
  SELECT here, there FROM lines
  UNION
  SELECT reachable.here, lines.there FROM reachable JOIN lines ON reachable.there = lines.here
)
SELECT here, there FROM reachable;
