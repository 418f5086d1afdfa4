-- Joins with what is there in processing time: of tables that can be asked, and of streams.
CREATE TABLE o (id INT, k STRING, v INT, ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
CREATE TABLE dim (k STRING, kind INT, w BIGINT, x AS w * 2) WITH (
  'connector' = 'filesystem', 'path' = '{data}/dim.csv', 'format' = 'csv', 'lookup.full-cache.periodic-reload.interval' = '1 min');
CREATE TABLE upserts (k STRING, kind INT, w INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'datagen');
CREATE VIEW counts AS SELECT k, COUNT(*) AS n FROM o GROUP BY k;
CREATE VIEW small AS SELECT k AS name, x + 1 AS y FROM dim WHERE w < 10;
EXPLAIN SELECT o.id, d.w, d.x FROM o JOIN dim FOR SYSTEM_TIME AS OF o.p AS d ON o.k = d.k AND d.kind = 7 AND d.w > o.v;
EXPLAIN SELECT o.id, s.y FROM o LEFT JOIN small FOR SYSTEM_TIME AS OF o.p AS s ON UPPER(o.k) = s.name;
EXPLAIN SELECT o.id, u.w FROM o LEFT JOIN upserts FOR SYSTEM_TIME AS OF o.p AS u ON o.k = u.k AND o.v = u.kind;
EXPLAIN SELECT o.id, c.n FROM o JOIN counts FOR SYSTEM_TIME AS OF o.p AS c ON o.k = c.k AND c.n > o.v;
CREATE VIEW counted AS SELECT *, PROCTIME() AS p FROM counts;
EXPLAIN SELECT c.k, c.n, d.w FROM counted c LEFT JOIN dim FOR SYSTEM_TIME AS OF c.p AS d ON c.k = d.k;
EXPLAIN SELECT c.k, c.n, u.w FROM counted c JOIN upserts FOR SYSTEM_TIME AS OF c.p AS u ON c.k = u.k;
EXPLAIN SELECT o.id FROM o JOIN upserts FOR SYSTEM_TIME AS OF o.p AS u ON o.v = u.kind;
