-- The database that the masking corpus is about. Masked: customers.email partial, customers.phone partial, customers.note hash, customers.age full,
-- badges.badge partial (which is no text), *.ssn full, hr.salaries.* null. Values that nobody may see hold "anary", "078-05", "5551", 4711 or 98765.
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TABLE customers (
  id int PRIMARY KEY, name text NOT NULL, email text UNIQUE, phone varchar(40), ssn char(12), age int, note text,
  city text, tags text[] DEFAULT '{}', domain text GENERATED ALWAYS AS (split_part(email, '@', 2) || ' of ' || split_part(email, '@', 1)) STORED
);
INSERT INTO customers (id, name, email, phone, ssn, age, note, city)
  SELECT g, 'Name ' || g, 'canary' || g || '@secret.example', '+49 30 5551 ' || g, '078-05-' || 1000 + g, 4711, 'canary note ' || g % 3, CASE WHEN g % 2 = 0 THEN 'Bonn' ELSE 'Kiel' END
  FROM generate_series(1, 20) g;
INSERT INTO customers (id, name) VALUES (99, 'Nobody');
CREATE TABLE badges (id int, badge int);
INSERT INTO badges VALUES (1, 47110);
CREATE INDEX customers_email ON customers (lower(email));
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, customer_email text REFERENCES customers (email), total numeric, email text);
INSERT INTO orders SELECT g, 1 + g % 20, 'canary' || 1 + g % 20 || '@secret.example', g * 10, 'shop' || g || '@example.org' FROM generate_series(1, 40) g;
CREATE TABLE people (id int, ssn text, born date) PARTITION BY RANGE (id);
CREATE TABLE people_low PARTITION OF people FOR VALUES FROM (0) TO (100);
INSERT INTO people SELECT g, '078-05-' || g, '2000-01-01' FROM generate_series(1, 5) g;
CREATE TABLE vip (level int) INHERITS (customers);
INSERT INTO vip (id, name, email, ssn, level) VALUES (500, 'Vip', 'canaryvip@secret.example', '078-05-vip', 3);
CREATE TABLE dropped (a int, b int, ssn text, c text);
ALTER TABLE dropped DROP COLUMN a;
INSERT INTO dropped VALUES (1, '078-05-dropped', 'open');
CREATE TABLE plain (id int PRIMARY KEY, label text, email text);
INSERT INTO plain SELECT g, 'label ' || g, 'plain' || g || '@example.org' FROM generate_series(1, 5) g;
CREATE TABLE "Odd Table" (id int, ssn text, "select" text);
INSERT INTO "Odd Table" VALUES (1, '078-05-odd', 'x');
CREATE TABLE citizens (id int, ssn citext);
INSERT INTO citizens VALUES (1, '078-05-ci');
CREATE TABLE longs (id int, ssn text);
INSERT INTO longs VALUES (1, '078-05-' || repeat('canary ', 20000));
CREATE TABLE grown (id int);
INSERT INTO grown VALUES (1);
ALTER TABLE grown ADD ssn text DEFAULT '078-05-default';
SELECT lo_from_bytea(4242, '078-05-large');
CREATE SCHEMA hr;
CREATE TABLE hr.salaries (person int, amount int, comment text);
INSERT INTO hr.salaries VALUES (1, 98765, 'canary raise');
CREATE TABLE hr.customers (id int, email text, city text);
INSERT INTO hr.customers VALUES (1, 'canaryhr@secret.example', 'Ulm');
CREATE VIEW v_plain AS SELECT id, email AS contact, city FROM customers;
CREATE VIEW v_nested AS SELECT contact AS reach, id FROM v_plain;
CREATE VIEW v_lower AS SELECT id, lower(email) AS contact FROM customers;
CREATE VIEW v_where AS SELECT id, name FROM customers WHERE email LIKE 'canary1%';
CREATE VIEW v_count AS SELECT city, count(*) AS n FROM customers GROUP BY city;
CREATE VIEW v_join AS SELECT c.id, c.email, o.total FROM customers c JOIN orders o ON o.customer_id = c.id;
CREATE VIEW v_union AS SELECT email FROM customers UNION ALL SELECT email FROM plain;
CREATE VIEW v_row AS SELECT c AS whole FROM customers c;
CREATE VIEW v_distinct AS SELECT DISTINCT email FROM customers;
CREATE VIEW v_stats AS SELECT tablename, most_common_vals::text AS seen FROM pg_stats;
CREATE MATERIALIZED VIEW m_plain AS SELECT id, email AS contact FROM customers;
CREATE MATERIALIZED VIEW m_lower AS SELECT id, upper(email) AS contact FROM customers;
CREATE MATERIALIZED VIEW m_count AS SELECT city, count(*) AS n FROM customers GROUP BY city;
CREATE FUNCTION all_emails() RETURNS SETOF text STABLE LANGUAGE sql AS 'SELECT email FROM customers';
CREATE FUNCTION email_of(customers) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1.email';
CREATE FUNCTION one_customer() RETURNS customers STABLE LANGUAGE sql AS 'SELECT * FROM customers LIMIT 1';
CREATE SCHEMA pub;
CREATE TABLE pub.salaries (person int, amount int, comment text);
GRANT USAGE ON SCHEMA hr, pub, public TO app_rw;
GRANT ALL ON ALL TABLES IN SCHEMA public, hr, pub TO app_rw;
ANALYZE;
