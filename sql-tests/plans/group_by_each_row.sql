-- A change per row: one phase.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
SET 'table.exec.emit' = 'each-row';
EXPLAIN SELECT who, COUNT(*) AS n FROM orders GROUP BY who;
