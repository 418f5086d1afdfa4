-- An aggregate without keys ends in one shard.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
EXPLAIN SELECT COUNT(*) AS n, MAX(price) AS m FROM orders;
