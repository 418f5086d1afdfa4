-- Rows that are not unique by the sink's primary key.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE totals (who STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');
EXPLAIN INSERT INTO totals SELECT who, COUNT(*) FROM orders GROUP BY who;
EXPLAIN INSERT INTO totals SELECT who, COUNT(*) FROM orders GROUP BY who ON CONFLICT DO DEDUPLICATE;
EXPLAIN INSERT INTO totals SELECT who, COUNT(*) FROM orders GROUP BY who ON CONFLICT DO ERROR;
CREATE TABLE by_both (who STRING, n BIGINT, PRIMARY KEY (who, n) NOT ENFORCED) WITH ('connector' = 'print');
EXPLAIN INSERT INTO by_both SELECT who, COUNT(*) FROM orders GROUP BY who;
EXPLAIN INSERT INTO by_both SELECT who, quantity FROM orders ON CONFLICT DO NOTHING;
CREATE TABLE plain (who STRING, n BIGINT) WITH ('connector' = 'print');
EXPLAIN INSERT INTO plain SELECT who, quantity FROM orders ON CONFLICT DO NOTHING;
SET 'table.exec.sink.upsert-materialize' = 'FORCE';
EXPLAIN INSERT INTO totals SELECT who, COUNT(*) FROM orders GROUP BY who;
