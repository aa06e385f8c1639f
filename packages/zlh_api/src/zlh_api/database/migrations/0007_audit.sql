-- One patrol looks over all containers: whoever holds this row, and every write of it names the fence.
create table patrol (
    id boolean primary key default true check (id),
    holder uuid,
    lease_until timestamptz,
    fence bigint not null default 0,
    report jsonb
);
insert into patrol default values;

-- What turns up late with the mark of a deleted container is taken away under a claim like those of containers.
alter table departed add column lease_until timestamptz;
alter table departed add column fence bigint not null default 0;
alter table departed add column driver_notes jsonb not null default '{}';

-- Slots are held by claims of both kinds.
alter table driver_slots drop constraint driver_slots_owner_fkey;
create view good_claims as
    select owner, fence from containers where lease_until > now()
    union all
    select owner, fence from departed where lease_until > now();

-- Addresses at which the last look found guests that no row of ours explains.
create table occupied_addresses (
    address inet primary key,
    seen_at timestamptz not null default now()
);

-- Most containers have no open step, and a look at all of them asks for those that have.
create index steps_open on steps (owner) where state in ('running', 'failed');
