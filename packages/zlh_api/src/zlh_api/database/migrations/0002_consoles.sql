-- The request that wished for what is not reached yet: what is done to reach it is logged on its behalf.
alter table containers add column request_id text;

-- A ticket opens one WebSocket of one container, once, for whoever holds the session or token that it was made with.
create table tickets (
    ticket_sha256 bytea primary key,
    vmid integer not null references containers (vmid) on delete cascade,
    credential_sha256 bytea not null,
    by_cookie boolean not null,
    expires_at timestamptz not null
);
create index tickets_expiry on tickets (expires_at);
