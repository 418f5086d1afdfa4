-- A sink with a NOT NULL column checks for nulls; types are cast to the sink's.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE totals (who STRING NOT NULL, n BIGINT, s DOUBLE, PRIMARY KEY (who) NOT ENFORCED) WITH ('connector' = 'print');
EXPLAIN INSERT INTO totals SELECT who, COUNT(*), SUM(quantity) FROM orders GROUP BY who;
