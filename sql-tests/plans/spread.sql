-- Rows are spread before they become many, unless their order matters.
CREATE TABLE people (name STRING, age INT, tags ARRAY<STRING>, address ROW<city STRING, zip INT>)
WITH ('connector' = 'filesystem', 'path' = '{data}/people.json', 'format' = 'json');
EXPLAIN SELECT tag, COUNT(*) FROM people CROSS JOIN UNNEST(tags) AS t (tag) WHERE age > 3 GROUP BY tag;
EXPLAIN SELECT tag, LISTAGG(name) FROM people CROSS JOIN UNNEST(tags) AS t (tag) WHERE age > 3 GROUP BY tag;
