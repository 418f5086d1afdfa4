-- The outer aggregate reads rows that change.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
EXPLAIN SELECT n, COUNT(*) AS people, MAX(who) AS last_ FROM (SELECT who, COUNT(*) AS n FROM orders GROUP BY who) GROUP BY n;
