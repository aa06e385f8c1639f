-- What a guest may use, and what its driver must not forget of it (the node it is on, a task under way).
alter table containers add column resources jsonb not null
    default '{"cpu": 2.0, "memoryMib": 2048, "diskMib": 10240, "pids": 2048}';
alter table containers add column driver_notes jsonb not null default '{}';
alter table containers drop constraint containers_guest_check;
alter table containers add constraint containers_guest_check
    check (guest in ('absent', 'half-made', 'stopped', 'running', 'foreign'));

-- What only one may use at a time (a node, a template) is held by a claim, as long as that is good.
create table driver_slots (
    name text primary key,
    owner uuid not null references containers on delete cascade,
    fence bigint not null
);
alter table containers add column waiting_for text;
alter table containers add column waiting_since timestamptz;
create index containers_waiting on containers (waiting_for, waiting_since) where waiting_for is not null;

-- How often a step has failed in a row, and when it is tried again: what people want to know of a step that is stuck.
alter table steps add column attempts integer not null default 0;
alter table steps add column next_try_at timestamptz;

-- Whom we have deleted: what turns up late with such a mark is ours to take away.
create table departed (
    owner uuid primary key,
    vmid integer not null,
    kind text not null,
    departed_at timestamptz not null default now()
);

-- Numbers at which the last look found guests that no row of ours explains; they are not given to new containers.
create table occupied_vmids (
    vmid integer primary key,
    seen_at timestamptz not null default now()
);

-- The next number that nobody has: given once and never again.
create function next_vmid() returns integer language plpgsql as $$
declare
    number integer;
begin
    loop
        number := nextval('vmids');
        exit when not exists (select from occupied_vmids where vmid = number)
            and not exists (select from containers where vmid = number)
            and not exists (select from departed where vmid = number);
    end loop;
    return number;
end $$;
alter table containers alter column vmid set default next_vmid();
