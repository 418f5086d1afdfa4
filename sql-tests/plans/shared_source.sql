-- A table that is read twice is one source.
CREATE TABLE a (k STRING, v INT, w INT) WITH ('connector' = 'datagen');
EXPLAIN SELECT x.k, n, s FROM (SELECT k, COUNT(*) AS n FROM a GROUP BY k) x JOIN (SELECT k, SUM(v) AS s FROM a WHERE w > 0 GROUP BY k) y ON x.k = y.k;
