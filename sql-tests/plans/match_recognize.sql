-- Rows meet in the shard of their partition; what bounds the state is said.
CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN SELECT * FROM bids MATCH_RECOGNIZE (PARTITION BY item ORDER BY at_ MEASURES FIRST(A.price) AS f, SUM(A.price) AS s, MATCH_ROWTIME() AS at_ AFTER MATCH SKIP TO LAST B PATTERN (A{2,} (B | C)) WITHIN INTERVAL '1' HOUR DEFINE A AS A.price > 15 AND A.price > LAST(A.price, 1), B AS AVG(A.price) < B.price);
EXPLAIN SELECT s FROM bids MATCH_RECOGNIZE (ORDER BY at_, price DESC MEASURES A.price AS s PATTERN (A B*? C)  DEFINE B AS price = 2);
CREATE TABLE plain (item STRING, at_ TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv');
EXPLAIN WITH latest AS (SELECT item, MAX(at_) AS at_ FROM bids GROUP BY item) SELECT * FROM latest MATCH_RECOGNIZE (ORDER BY at_ MEASURES A.item AS i PATTERN (A B) DEFINE A AS item = 'x');
EXPLAIN SELECT * FROM plain MATCH_RECOGNIZE (ORDER BY at_ MEASURES A.item AS i PATTERN (A B) DEFINE A AS item = 'x');
