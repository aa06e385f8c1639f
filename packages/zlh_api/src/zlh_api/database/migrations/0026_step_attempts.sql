-- How each try of a step ended. `steps` keeps one row for each step of a container, which the next try writes over; here
-- the tries stay, as many and as long as `reconcile/attempts_store.py` says, also once their container is gone.
create table step_attempts (
    at timestamptz not null default clock_timestamp(),
    number bigint generated always as identity,
    owner uuid not null,
    vmid integer not null,
    step text not null,
    -- Which try it was, from 1, since the step was done last.
    attempt integer not null,
    outcome text not null check (outcome in ('done', 'failed', 'waited')),
    code text,
    reason text,
    -- Null where nobody saw it begin.
    duration_ms bigint,
    primary key (at, number)
);
-- One for each filter, in the order in which pages are read; most of all steps are done and never looked for alone.
create index step_attempts_vmid on step_attempts (vmid, at, number);
create index step_attempts_step on step_attempts (step, at, number);
create index step_attempts_outcome on step_attempts (outcome, at, number) where outcome <> 'done';
create index step_attempts_trouble on step_attempts (step, outcome, at, number) where outcome <> 'done';
create index step_attempts_code on step_attempts (code, at, number) where code is not null;

-- How each machine that containers are on was seen last, and since when it has been so.
create table nodes_seen (
    name text primary key,
    state text not null check (state in ('online', 'full', 'maintenance', 'offline', 'unknown')),
    since timestamptz not null default now(),
    -- When somebody who could ask has found it so.
    noted_at timestamptz not null default now()
);
