-- A key stands for a request and its whole answer, whatever it has made. Rows of before hold a container's number and no
-- answer: whoever comes with such a key is told that it stands for another request, and nothing is made twice.
alter table idempotency_keys
    alter column vmid drop not null,
    add column status smallint,
    -- The JSON of the answer, without what is shown once.
    add column answer bytea;
create index idempotency_keys_age on idempotency_keys (created_at);
