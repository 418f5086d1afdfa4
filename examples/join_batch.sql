-- Over tables that end, everything DataFusion's SQL can do: joins, window functions, sorting.
--
--   tidemill run examples/join_batch.sql

CREATE TABLE orders (
  `order` INT,
  customer INT,
  mill STRING,
  sacks INT,
  price DECIMAL(10, 2),
  ordered TIMESTAMP(3)
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/orders.csv',
  'format' = 'csv',
  'csv.ignore-first-line' = 'true'
);

CREATE TABLE customers (id INT, name STRING, town STRING) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/customers.json',
  'format' = 'json'
);

-- Each customer's largest order. Customer 105 is not in the list, Dot's town is not known.
SELECT name, town, mill, sacks
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY sacks DESC, `order`) AS place FROM orders
) AS ranked
LEFT JOIN customers ON customer = id
WHERE place = 1
ORDER BY sacks DESC;
