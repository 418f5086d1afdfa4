-- Copies a CSV file to Parquet, a directory per mill, and reads it back.
--
--   tidemill run examples/csv_to_parquet.sql -D OUT=/tmp/orders

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

CREATE TABLE archive (
  `order` INT,
  sacks INT,
  total DECIMAL(12, 2),
  ordered TIMESTAMP(3),
  mill STRING
) PARTITIONED BY (mill) WITH (
  'connector' = 'filesystem',
  'path' = '${OUT:-/tmp/tidemill-orders}',
  'format' = 'parquet'
);

-- INSERT starts a job in the background. The next statement needs what it writes, so wait for it.
SET 'table.dml-sync' = 'true';

INSERT INTO archive
SELECT `order`, sacks, sacks * price, ordered, mill FROM orders;

SELECT mill, COUNT(*) AS orders, SUM(total) AS total, MAX(ordered) AS latest
FROM archive
GROUP BY mill
ORDER BY mill;
