-- Only the columns that are needed are read, and the filter sits on the source.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
EXPLAIN SELECT who, quantity * 2 AS twice FROM orders WHERE price > 1 AND paid;
