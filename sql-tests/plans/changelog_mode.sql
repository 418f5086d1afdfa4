-- Tables whose records replace the row of their key.
CREATE TABLE plain (id INT, v INT, t TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = '{data}', 'format' = 'csv', 'changelog.mode' = 'upsert');
CREATE TABLE timed (id INT, v INT, t TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED, WATERMARK FOR t AS t) WITH ('connector' = 'filesystem', 'path' = '{data}', 'format' = 'maxwell-json', 'changelog.mode' = 'upsert');
CREATE TABLE into_ (id INT, v INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'filesystem', 'path' = '{data}/out', 'format' = 'debezium-json', 'changelog.mode' = 'upsert');
CREATE TABLE by_v (id INT, v INT, PRIMARY KEY (v) NOT ENFORCED) WITH ('connector' = 'print', 'changelog.mode' = 'upsert');
CREATE TABLE by_both (id INT, v INT, PRIMARY KEY (v, id) NOT ENFORCED) WITH ('connector' = 'print', 'changelog.mode' = 'upsert');
EXPLAIN SELECT v FROM plain;
EXPLAIN SELECT id, v, t FROM timed WHERE v > 1;
EXPLAIN INSERT INTO into_ SELECT id, v FROM plain WHERE v > 1;
EXPLAIN INSERT INTO by_both SELECT id, v FROM plain;
EXPLAIN INSERT INTO by_v SELECT id, v FROM plain;
EXPLAIN INSERT INTO by_v SELECT id, v FROM plain ON CONFLICT DO DEDUPLICATE;
EXPLAIN INSERT INTO into_ VALUES (1, 2);
