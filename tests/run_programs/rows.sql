-- 50,000 rows with two indexes, changed and thinned out, then checked.
CREATE TABLE row(id INTEGER PRIMARY KEY, name TEXT, value REAL, payload BLOB);
BEGIN;
WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 50000)
INSERT INTO row SELECT n, 'name ' || (n * 7919 % 50000), n * 0.25, zeroblob(n % 97) FROM count;
COMMIT;
CREATE INDEX row_name ON row(name);
CREATE INDEX row_value ON row(value DESC, name);
UPDATE row SET name = 'changed ' || id WHERE id % 5 = 0;
DELETE FROM row WHERE id % 5 = 1;
SELECT count(*), sum(value), max(length(payload)) FROM row;
SELECT id, name FROM row WHERE name BETWEEN 'name 10' AND 'name 1010' ORDER BY value LIMIT 20;
SELECT group_concat(name, ',') FROM (SELECT name FROM row ORDER BY name DESC LIMIT 50);
SELECT substr(name, 1, 6), count(*), avg(value) FROM row GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10;
VACUUM;
PRAGMA integrity_check;
