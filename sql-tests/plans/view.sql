-- A view is planned as if its query stood there.
CREATE TABLE orders (id INT, who STRING, item STRING, quantity INT, price DECIMAL(10, 2), at_ TIMESTAMP(3), paid BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = '{data}/orders.csv', 'format' = 'csv', 'csv.null-literal' = '');
CREATE VIEW paid AS SELECT * FROM orders WHERE paid;
EXPLAIN SELECT who, id FROM paid WHERE id > 3;
