-- Rows are expanded once per grouping set.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
EXPLAIN SELECT who, item, SUM(quantity) AS s FROM orders GROUP BY GROUPING SETS ((who, item), (who), ());
