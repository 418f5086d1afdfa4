CREATE TABLE edges (a STRING, b STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'socket', 'hostname' = 'localhost', 'port' = '9999', 'format' = 'csv');
EXPLAIN WITH RECURSIVE reach (a, b) AS (
  SELECT a, b FROM edges UNION SELECT r.a, e.b FROM reach r JOIN edges e ON r.b = e.a
) SELECT a, COUNT(*) AS n FROM reach WHERE b <> 'x' GROUP BY a;
EXPLAIN WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5) SELECT * FROM n;
EXPLAIN WITH RECURSIVE
  late (a, at_) AS (SELECT a, ts FROM edges UNION ALL SELECT a, at_ + INTERVAL '1' DAY FROM late)
SELECT a FROM TABLE(TUMBLE(TABLE late, DESCRIPTOR(at_), INTERVAL '1' DAY));
EXPLAIN WITH RECURSIVE t (a) AS (
  SELECT a FROM edges
  UNION
  (WITH RECURSIVE u (b) AS (SELECT a FROM t UNION SELECT edges.b FROM u JOIN edges ON edges.a = u.b) SELECT b FROM u)
) SELECT a FROM t;
