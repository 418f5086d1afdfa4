-- Nexmark q6: the average of the prices at which the last auctions of each seller closed.

CREATE TABLE nexmark_q6 (seller BIGINT, final BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO nexmark_q6
SELECT closed.seller,
  AVG(closed.final) OVER (PARTITION BY closed.seller ORDER BY closed.`dateTime` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS final
FROM (
  SELECT
    A.id, A.seller, B.price AS final, B.`dateTime`,
    ROW_NUMBER() OVER (PARTITION BY A.id, A.seller ORDER BY B.price DESC, B.`dateTime` ASC) AS place
  FROM auction AS A JOIN bid AS B ON A.id = B.auction
  WHERE B.`dateTime` BETWEEN A.`dateTime` AND A.expires
) AS closed
WHERE place <= 1;
