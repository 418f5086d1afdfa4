-- Counts the words of a book: Newton's Opticks, the first part of the first book, as printed in 1730.
--
--   tidemill run examples/wordcount.sql

CREATE TABLE book (line STRING) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/opticks.txt',
  'format' = 'raw'
);

CREATE VIEW words AS
SELECT word
FROM book CROSS JOIN UNNEST(REGEXP_EXTRACT_ALL(LOWER(line), '([a-z]+)')) AS found(word);

-- A file ends, so this query could run in batch. Here it runs as a stream, as it would over a socket.
SET 'execution.runtime-mode' = 'streaming';

SELECT word, COUNT(*) AS times
FROM words
WHERE CHAR_LENGTH(word) > 5
GROUP BY word
HAVING COUNT(*) >= 60;

-- Left alone, a SELECT over tables that end is answered in batch, so it can also be sorted.
RESET 'execution.runtime-mode';

SELECT word, COUNT(*) AS times
FROM words
GROUP BY word
ORDER BY times DESC, word
LIMIT 8;
