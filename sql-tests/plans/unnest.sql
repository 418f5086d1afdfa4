-- Through UNNEST only what is used is carried along.
CREATE TABLE people (name STRING, age INT, tags ARRAY<STRING>, address ROW<city STRING, zip INT>)
WITH ('connector' = 'filesystem', 'path' = '{data}/people.json', 'format' = 'json');
EXPLAIN SELECT name, tag FROM people CROSS JOIN UNNEST(tags) WITH ORDINALITY AS t (tag, n) WHERE age > 3;
