CREATE TABLE invoices (id bigint PRIMARY KEY, paid boolean NOT NULL DEFAULT false);
