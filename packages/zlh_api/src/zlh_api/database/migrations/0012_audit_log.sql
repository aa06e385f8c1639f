-- What people have done: one chain of entries for each customer, and one of the platform, whose id is all zeros.

-- An API process carries out acts for as long as its row lasts; what it has begun by then ended nobody knows how.
create table act_holders (
    holder uuid primary key,
    until timestamptz not null
);

-- Acts that are being carried out. Each becomes an entry, in the transaction that takes it away from here.
create table acts_begun (
    id uuid primary key,
    holder uuid not null,
    begun_at timestamptz not null default clock_timestamp(),
    chain uuid not null,
    act text not null,
    user_id uuid,
    email text,
    credential_id uuid,
    by_token boolean not null,
    subject text,
    request_id text,
    address text,
    details jsonb not null
);
create index acts_begun_holder on acts_begun (holder);

-- Where each chain ends: who appends to one holds its row.
create table audit_heads (
    chain uuid primary key,
    number bigint not null,
    at timestamptz not null,
    hash bytea not null
);

-- No entry refers to what may be deleted: a customer's chain outlives the customer, and a user's acts the user.
create table audit_entries (
    chain uuid not null,
    number bigint not null check (number > 0),
    at timestamptz not null,
    act text not null,
    outcome text not null check (outcome in ('done', 'refused', 'failed', 'unknown')),
    user_id uuid,
    email text,
    credential_id uuid,
    by_token boolean not null,
    subject text,
    status integer,
    code text,
    request_id text,
    address text,
    details jsonb not null,
    hash bytea not null check (length(hash) = 32),
    primary key (chain, number)
);
-- Within a chain, time and number grow together, so each of these also yields the order of one chain.
create index audit_entries_at on audit_entries (at, chain, number);
create index audit_entries_act on audit_entries (act, at, chain, number);
create index audit_entries_chain_act on audit_entries (chain, act, number);
create index audit_entries_user on audit_entries (user_id, at, chain, number);
create index audit_entries_subject on audit_entries (subject, at, chain, number);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'entries of the audit log are never changed' using errcode = 'restrict_violation';
end $$;
create trigger stays before update or delete or truncate on audit_entries
    for each statement execute function refuse_change();
create trigger stays before delete or truncate on audit_heads
    for each statement execute function refuse_change();

create function refuse_return() returns trigger language plpgsql as $$
begin
    if new.chain <> old.chain or new.number not in (old.number, old.number + 1) or new.at < old.at then
        raise exception 'a chain of the audit log only grows' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger grows before update on audit_heads for each row execute function refuse_return();
