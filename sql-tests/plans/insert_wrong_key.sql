-- The sink's primary key has to be the query's key.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE TABLE totals (who STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');
EXPLAIN INSERT INTO totals SELECT who, COUNT(*) FROM orders GROUP BY who;
