-- People beyond the first operator: what a token may do, which sessions there are, who is asked to join, who is held back.
alter table customers
    add column suspended_at timestamptz,
    add column suspended_reason text,
    -- What an operator has set for this customer; what is not named is the platform's default.
    add column quota jsonb not null default '{}';

alter table users
    add column suspended_at timestamptz,
    add column suspended_reason text,
    add column password_changed_at timestamptz not null default now();

alter table memberships add column created_at timestamptz not null default now();

alter table sessions
    add column id uuid not null unique default gen_random_uuid(),
    add column last_seen_at timestamptz not null default now(),
    -- As the request came to us; shown to the user alone.
    add column address text,
    add column user_agent text;
create index sessions_user on sessions (user_id);

alter table api_tokens
    -- A token for one customer opens nothing of the user's others.
    add column customer_id uuid references customers on delete cascade,
    -- Permissions; null is all that the user has.
    add column scopes text[],
    -- The end of the token, by which its user knows it again.
    add column hint text not null default '',
    add column last_used_at timestamptz;
create index api_tokens_user on api_tokens (user_id);

-- What is handed to a person outside of the platform, works once and for a while. Only the hash is kept.
create table invitations (
    id uuid primary key,
    code_sha256 bytea not null unique,
    customer_id uuid not null references customers on delete cascade,
    email text not null,
    role text not null check (role in ('owner', 'member', 'viewer')),
    -- Whoever asked may be gone by the time that it is looked at.
    invited_by uuid references users on delete set null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create unique index invitations_one_each on invitations (customer_id, lower(email));

create table password_resets (
    code_sha256 bytea primary key,
    user_id uuid not null unique references users on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

-- Its customer is suspended: it is off whatever its own power says.
alter table containers add column suspended boolean not null default false;
create index containers_customer on containers (customer_id, vmid);

-- What is open for long is looked at again the moment that its right may have gone: 'user <id>' or 'customer <id>'.
create function announce_user() returns trigger language plpgsql as $$
begin
    perform pg_notify('access_changed', 'user ' || coalesce(new.user_id, old.user_id)::text);
    return null;
end $$;
create trigger announce_access after insert or update or delete on memberships
    for each row execute function announce_user();
create trigger announce_access after delete on sessions for each row execute function announce_user();
create trigger announce_access after delete on api_tokens for each row execute function announce_user();
create trigger announce_access_change after update of scopes, expires_at, customer_id on api_tokens
    for each row execute function announce_user();

create function announce_user_itself() returns trigger language plpgsql as $$
begin
    perform pg_notify('access_changed', 'user ' || old.id::text);
    return null;
end $$;
create trigger announce_access after update of is_operator, suspended_at, password_hash or delete on users
    for each row execute function announce_user_itself();

create function announce_customer() returns trigger language plpgsql as $$
begin
    perform pg_notify('access_changed', 'customer ' || old.id::text);
    return null;
end $$;
create trigger announce_access after update of suspended_at or delete on customers
    for each row execute function announce_customer();
