-- COUNT DISTINCT.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
EXPLAIN SELECT who, COUNT(DISTINCT item) AS n FROM orders GROUP BY who;
