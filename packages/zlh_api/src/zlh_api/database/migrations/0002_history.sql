-- What happened in a container, and what it used: told by its agent, kept for its customer.

create table happenings (
    owner uuid not null references containers on delete cascade,
    -- The order in which they came, from 1: what people page through.
    position bigint not null,
    -- The agent's own count; a journal that was lost is followed by one of another id.
    journal text not null,
    number bigint not null,
    at timestamptz not null,
    kind text not null,
    subject text,
    message text not null,
    data jsonb not null,
    primary key (owner, position),
    unique (owner, journal, number)
);

create table samples (
    owner uuid not null references containers on delete cascade,
    at timestamptz not null,
    metrics jsonb not null,
    primary key (owner, at)
);
create index samples_age on samples (at);
