-- What becomes of rows when the job fails and goes on from a checkpoint.
CREATE TABLE files (k STRING, v INT) WITH ('connector' = 'filesystem', 'path' = '{data}', 'format' = 'csv');
CREATE TABLE typed (k STRING, v INT) WITH ('connector' = 'socket', 'hostname' = 'localhost', 'port' = '9', 'format' = 'csv');
CREATE TABLE kept (k STRING, v INT) WITH ('connector' = 'filesystem', 'path' = '{data}/out', 'format' = 'csv');
CREATE TABLE shown (k STRING, v INT) WITH ('connector' = 'print');
EXPLAIN INSERT INTO kept SELECT * FROM files;
EXPLAIN INSERT INTO shown SELECT * FROM files;
EXPLAIN INSERT INTO kept SELECT * FROM typed UNION ALL SELECT * FROM files;
CREATE TABLE logged (k STRING, v INT) WITH ('connector' = 'print', 'sink.delivery-guarantee' = 'exactly-once');
EXPLAIN INSERT INTO logged SELECT * FROM files;
EXPLAIN INSERT INTO logged SELECT * FROM typed;
EXPLAIN INSERT INTO kept /*+ OPTIONS('sink.delivery-guarantee' = 'at-least-once') */ SELECT * FROM files;
