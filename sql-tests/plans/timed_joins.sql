-- Joins bounded by time.
CREATE TABLE a (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE b (k STRING, w INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE r (k STRING, w INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'datagen');
EXPLAIN SELECT a.k, v, w FROM a LEFT JOIN b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '5' SECOND AND a.ts + INTERVAL '1' MINUTE;
EXPLAIN SELECT x.k, x.v, y.w FROM
  (SELECT * FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) x FULL JOIN
  (SELECT * FROM TABLE(TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) y
  ON x.k = y.k AND x.window_start = y.window_start AND x.window_end = y.window_end;
EXPLAIN SELECT a.k, v, w FROM a JOIN r FOR SYSTEM_TIME AS OF a.ts ON a.k = r.k;
EXPLAIN SELECT a.k, v, w FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k = b.k;
EXPLAIN SELECT a.k, v, w FROM a LEFT JOIN b ON a.k = b.k AND a.ts = b.ts;
EXPLAIN SELECT COUNT(*) FROM a FULL JOIN b ON a.ts = b.ts + INTERVAL '1' SECOND;
CREATE TABLE c (k STRING, v INT, p AS PROCTIME()) WITH ('connector' = 'datagen');
EXPLAIN SELECT x.k, x.v, y.v AS w FROM c AS x LEFT JOIN c AS y ON x.k = y.k AND y.p BETWEEN x.p - INTERVAL '5' SECOND AND x.p + INTERVAL '1' MINUTE;
