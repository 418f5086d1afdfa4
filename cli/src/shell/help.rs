//! What `HELP;` says.

pub const PAGE: &str = "\
Tidemill speaks Flink SQL. A statement ends with a semicolon and may span lines.

Tables
  CREATE TABLE orders (id BIGINT, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
    WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');
  CREATE VIEW large AS SELECT * FROM orders WHERE amount > 100;
  SHOW TABLES;  DESCRIBE orders;  SHOW CREATE TABLE orders;  DROP TABLE orders;

Queries
  SELECT id, SUM(amount) FROM orders GROUP BY id;
  SELECT word, COUNT(*) FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t (word) GROUP BY word;
  EXPLAIN SELECT id, SUM(amount) FROM orders GROUP BY id;

Jobs
  INSERT INTO sink SELECT * FROM orders;               starts a job that runs while you go on
  EXECUTE STATEMENT SET BEGIN INSERT ...; INSERT ...; END;      several sinks, one job
  SHOW JOBS;  STOP JOB '<id>';

Settings
  SET;                                                 shows all
  SET 'parallelism.default' = '4';  RESET 'parallelism.default';
  SET 'sql-client.execution.result-mode' = 'changelog';         'table' shows rows, 'changelog' what happened to them

Functions
  SHOW FUNCTIONS;

Shell
  HELP;  CLEAR;  QUIT;
  Tab completes; Up and Ctrl-R search the history; Ctrl-C drops the line or ends the query; q ends a live table; Ctrl-D leaves.
";
