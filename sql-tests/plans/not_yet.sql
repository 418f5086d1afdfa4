-- What does not run as a stream says so.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
EXPLAIN SELECT id, LEAD(quantity) OVER (PARTITION BY who ORDER BY come) AS s FROM (SELECT *, PROCTIME() AS come FROM orders);

