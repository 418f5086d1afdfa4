-- Counts the words that somebody types into a socket. In one terminal
--
--   nc -lk 9999
--
-- and in another
--
--   tidemill run examples/socket_wordcount.sql
--
-- then type into the first. Ctrl-C ends the query.

CREATE TABLE typed (line STRING) WITH (
  'connector' = 'socket',
  'hostname' = 'localhost',
  'port' = '9999',
  'format' = 'raw'
);

-- A change for every word. Without this line, the net change of everything that came in at once.
SET 'table.exec.emit' = 'each-row';

SELECT word, COUNT(*) AS times
FROM typed CROSS JOIN UNNEST(SPLIT(line, ' ')) AS words(word)
WHERE word <> ''
GROUP BY word;
