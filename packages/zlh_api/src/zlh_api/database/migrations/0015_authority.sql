-- The change of the CAs that agents and the API are known by, and which identity each agent was given.
create table authority_generations (
    number integer primary key,
    -- Of both certificates: a folder with other keys under this number is another installation's, or a stale copy.
    digest bytea not null,
    made_at timestamptz not null,
    expires_at timestamptz not null
);

-- How far the change is; all three are the same while there is none.
create table authority (
    one boolean primary key default true check (one),
    issuing integer not null,
    presented integer not null,
    oldest integer not null,
    check (oldest <= presented and presented <= issuing)
);

-- Which API processes there are, what keys they have, and by what they go.
create table authority_holders (
    holder uuid primary key,
    until timestamptz not null,
    held integer[] not null,
    issuing integer not null,
    presented integer not null,
    oldest integer not null
);

create function announce_authority() returns trigger language plpgsql as $$
begin
    perform pg_notify('authority_changed', '');
    return null;
end $$;
create trigger announce_authority after insert or update on authority
    for each statement execute function announce_authority();
create trigger announce_authority after insert or update on authority_generations
    for each statement execute function announce_authority();

alter table containers
    -- SHA-256 of the certificate that its agent was seen to have taken. None is accepted while it is empty; any of its
    -- name while it is null, which is so of agents from before this was kept, and after a restored database.
    add column identity_known bytea default '\x',
    -- Of those that were on their way to it since: a crash leaves it to the agent which of them it has.
    add column identity_wanted bytea[] not null default '{}',
    -- No identity of it was ever issued for longer; the next one is.
    add column identity_issued_until timestamptz,
    -- By which generation of CAs it is known, and by which it knows the API.
    add column identity_generation integer not null default 0,
    add column identity_trusts_from integer not null default 0,
    add column identity_trusts_to integer not null default 0,
    -- How often somebody has asked for another one at once, and how many of these wishes what it has was issued after.
    add column identity_asked integer not null default 0,
    add column identity_done integer not null default 0,
    -- What its agent was caught at since its last start: codes that people are shown.
    add column agent_faults text[] not null default '{}';

update containers
set identity_known = null, identity_issued_until = identity_expires_at,
    identity_generation = 1, identity_trusts_from = 1, identity_trusts_to = 1
where identity_expires_at is not null;

-- What is open with the key that an agent has no more is closed by whoever holds it open.
create function announce_identity() returns trigger language plpgsql as $$
begin
    perform pg_notify('identity_changed', new.owner::text);
    return null;
end $$;
create trigger announce_identity after update of identity_known on containers
    for each row when (old.identity_known is distinct from new.identity_known) execute function announce_identity();

-- An API process of before, beside a newer one for the time of an upgrade, writes how long an identity lasts and nothing
-- of which it is: then that is not known, and the agent gets another one.
create function note_unnamed_identity() returns trigger language plpgsql as $$
begin
    new.identity_known := null;
    new.identity_wanted := '{}';
    new.identity_issued_until := greatest(old.identity_issued_until, new.identity_expires_at);
    return new;
end $$;
create trigger note_unnamed_identity before update of identity_expires_at on containers
    for each row when (
        new.identity_expires_at is not null
        and old.identity_expires_at is distinct from new.identity_expires_at
        and old.identity_known is not distinct from new.identity_known
    ) execute function note_unnamed_identity();
