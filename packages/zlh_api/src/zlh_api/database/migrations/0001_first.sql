-- The whole path in miniature: who asks, what is wanted, what was seen, and who works on it.

create table customers (
    id uuid primary key,
    name text not null,
    created_at timestamptz not null default now()
);
create unique index customers_name on customers (lower(name));

create table users (
    id uuid primary key,
    email text not null,
    password_hash text not null,
    is_operator boolean not null default false,
    created_at timestamptz not null default now()
);
create unique index users_email on users (lower(email));

create table memberships (
    customer_id uuid not null references customers on delete cascade,
    user_id uuid not null references users on delete cascade,
    role text not null check (role in ('owner', 'member', 'viewer')),
    primary key (customer_id, user_id)
);
create index memberships_user on memberships (user_id);

-- Tokens are stored as SHA-256 of 256 random bits: nothing to guess, nothing to leak.
create table sessions (
    token_sha256 bytea primary key,
    user_id uuid not null references users on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sessions_expiry on sessions (expires_at);

create table api_tokens (
    id uuid primary key,
    token_sha256 bytea not null unique,
    user_id uuid not null references users on delete cascade,
    name text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz
);

-- A number is given once and never again, so nothing of an old container can be taken for a new one's.
create sequence vmids minvalue 101 maxvalue 999999999;

create table containers (
    -- The owner mark: guests, records and files that carry it are ours.
    owner uuid primary key,
    vmid integer not null unique default nextval('vmids'),
    customer_id uuid not null references customers,
    kind text not null check (kind in ('dev', 'game')),
    name text not null,
    created_at timestamptz not null default now(),

    -- wanted
    spec jsonb not null,
    spec_generation bigint not null default 1,
    power text not null default 'on' check (power in ('on', 'off')),
    restart_wanted bigint not null default 0,
    deleting_at timestamptz,

    -- seen
    address inet unique,
    guest text not null default 'absent' check (guest in ('absent', 'stopped', 'running', 'foreign')),
    identity_expires_at timestamptz,
    connection text not null default 'connecting' check (connection in ('connecting', 'online', 'offline')),
    agent_status jsonb,
    observed_at timestamptz,
    restart_done bigint not null default 0,
    route_confirmed text,
    provisioned_at timestamptz,

    -- who works on it: a claim is good while the lease lasts, and every write names its fence
    wake_at timestamptz not null default now(),
    -- after a failure, not even a wake is heard before this; only a customer's wish is
    held_until timestamptz not null default '-infinity',
    lease_holder uuid,
    lease_until timestamptz,
    fence bigint not null default 0,
    attempts integer not null default 0,

    link_holder uuid,
    link_until timestamptz,
    link_fence bigint not null default 0
);
create unique index containers_name on containers (customer_id, lower(name));
create index containers_wake on containers (wake_at);
create index containers_link on containers (link_until) where address is not null;

create table steps (
    owner uuid not null references containers on delete cascade,
    position integer not null,
    name text not null,
    state text not null check (state in ('pending', 'running', 'done', 'failed', 'skipped')),
    started_at timestamptz,
    finished_at timestamptz,
    code text,
    message text,
    output text,
    primary key (owner, name)
);

-- An address rests for a while after its container is gone, so that no late packet meets a stranger.
create table resting_addresses (
    address inet primary key,
    free_from timestamptz not null
);

create table exposures (
    id uuid primary key,
    owner uuid not null references containers on delete cascade,
    port integer not null check (port between 1 and 65535),
    visibility text not null check (visibility in ('private', 'customer', 'public')),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    unique (owner, port)
);

create table idempotency_keys (
    user_id uuid not null references users on delete cascade,
    key text not null,
    request_sha256 bytea not null,
    vmid integer not null,
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);

-- Whoever watches a container hears of every change that a person could see.
create function announce_container() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and (to_jsonb(new) - '{lease_holder,lease_until,fence,link_holder,link_until,link_fence,wake_at,held_until}'::text[])
            = (to_jsonb(old) - '{lease_holder,lease_until,fence,link_holder,link_until,link_fence,wake_at,held_until}'::text[]) then
        return null;
    end if;
    perform pg_notify('container_changed', coalesce(new.vmid, old.vmid)::text);
    return null;
end $$;
create trigger announce after insert or update or delete on containers
    for each row execute function announce_container();

create function announce_part() returns trigger language plpgsql as $$
begin
    perform pg_notify('container_changed', vmid::text) from containers where owner = coalesce(new.owner, old.owner);
    return null;
end $$;
create trigger announce after insert or update or delete on steps for each row execute function announce_part();
create trigger announce after insert or update or delete on exposures for each row execute function announce_part();

-- A worker sleeps until something is due; a wake that is moved forward must reach it.
create function announce_wake() returns trigger language plpgsql as $$
begin
    if new.wake_at <= now() then
        perform pg_notify('container_due', '');
    end if;
    return null;
end $$;
create trigger announce_wake after insert or update of wake_at on containers
    for each row execute function announce_wake();

-- A guest that has come up wants a link to its agent.
create function announce_guest() returns trigger language plpgsql as $$
begin
    if new.guest = 'running' and old.guest <> 'running' then
        perform pg_notify('link_due', '');
    end if;
    return null;
end $$;
create trigger announce_guest after update of guest on containers for each row execute function announce_guest();
