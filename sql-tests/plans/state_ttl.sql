-- State that is not used is forgotten, if the settings or a hint say so.
CREATE TABLE a (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE b (k STRING, w INT) WITH ('connector' = 'datagen');
EXPLAIN SELECT /*+ STATE_TTL('x' = '1 d', 'b' = '0 s') */ x.k, v, w FROM a AS x LEFT JOIN b ON x.k = b.k WHERE v > 1;
EXPLAIN SELECT /*+ STATE_TTL('a' = '90 min') */ k, COUNT(*) AS n FROM a GROUP BY k;
EXPLAIN SELECT /*+ STATE_TTL('c' = '1 h') */ k FROM a;
SET 'table.exec.state.ttl' = '12 h';
EXPLAIN SELECT k, SUM(n) AS n FROM (SELECT /*+ STATE_TTL('b' = '1 h') */ k, w, COUNT(*) AS n FROM b GROUP BY k, w) GROUP BY k;
EXPLAIN SELECT k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS n FROM a) WHERE n = 1;
EXPLAIN SELECT DISTINCT k FROM b WHERE k NOT IN (SELECT k FROM a WHERE k IS NOT NULL);
EXPLAIN SELECT a.k FROM a JOIN a AS c ON a.k = c.k AND c.ts BETWEEN a.ts AND a.ts + INTERVAL '1' MINUTE;
