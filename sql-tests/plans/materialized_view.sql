-- The rows of a view come by its key to who keeps them; or where it has none, by all columns; or are one.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
EXPLAIN CREATE MATERIALIZED VIEW totals AS SELECT who, SUM(quantity) AS total FROM orders GROUP BY who;
EXPLAIN CREATE MATERIALIZED VIEW paid AS SELECT id, who FROM orders WHERE paid;
EXPLAIN CREATE MATERIALIZED VIEW everything AS SELECT COUNT(*) AS n FROM orders;
CREATE MATERIALIZED VIEW totals AS SELECT who, SUM(quantity) AS total FROM orders GROUP BY who;
EXPLAIN SELECT a.total, COUNT(*) AS n FROM totals a JOIN totals b ON a.who = b.who WHERE a.who = 'ann' GROUP BY a.total;
SET 'execution.runtime-mode' = 'automatic';
EXPLAIN SELECT total FROM totals WHERE who = 'ann' AND total > 3;
SET 'execution.runtime-mode' = 'streaming';
CREATE TABLE words (k STRING, p AS PROCTIME()) WITH ('connector' = 'datagen');
EXPLAIN SELECT w.k, t.total FROM words w LEFT JOIN totals FOR SYSTEM_TIME AS OF w.p AS t ON w.k = t.who AND t.total > 1;
EXPLAIN SELECT w.k, t.who FROM words w JOIN totals FOR SYSTEM_TIME AS OF w.p AS t ON CHAR_LENGTH(w.k) = t.total;
