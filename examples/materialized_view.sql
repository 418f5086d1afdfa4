-- A query whose answer is kept: its rows stay up to date while orders come in, and can be read at any time, as a whole or by key.
--
--   tidemill run examples/materialized_view.sql

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

CREATE MATERIALIZED VIEW mills AS
SELECT mill, COUNT(*) AS orders, SUM(sacks) AS sacks FROM orders GROUP BY mill;

-- Views over views: both are jobs in the background.
CREATE MATERIALIZED VIEW busiest AS
SELECT mill, sacks FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY sacks DESC, mill) AS place FROM mills) WHERE place <= 2;

-- These answer once the orders have been read; where orders never end, once those that were there have been.
SELECT * FROM mills ORDER BY mill;
SELECT sacks FROM mills WHERE mill = 'Eling';
SELECT * FROM busiest ORDER BY sacks DESC;
