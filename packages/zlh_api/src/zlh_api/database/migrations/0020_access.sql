-- Who may open what is published: sign-ins of browsers at container hosts, ports that end by themselves, and connections
-- that must be ended where a right has.

-- A browser that may open one host of a container. Whatever the right came from takes the grant with it.
create table access_grants (
    token_sha256 bytea primary key,
    -- The host that its cookie belongs to: the first label of it.
    label text not null,
    exposure_id uuid not null references exposures on delete cascade,
    owner uuid not null,
    port integer not null,
    session_id uuid not null references sessions (id) on delete cascade,
    customer_id uuid not null,
    user_id uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    foreign key (customer_id, user_id) references memberships (customer_id, user_id) on delete cascade,
    unique (session_id, label)
);
create index access_grants_exposure on access_grants (exposure_id);
create index access_grants_owner on access_grants (owner);
create index access_grants_member on access_grants (customer_id, user_id);
create index access_grants_expiry on access_grants (expires_at);

-- What a browser is sent back to a container's host with. It works once, and where the browser set out alone.
create table access_codes (
    code_sha256 bytea primary key,
    label text not null,
    -- Of what the browser holds in a cookie of that host.
    state text not null,
    path text not null,
    exposure_id uuid not null references exposures on delete cascade,
    session_id uuid not null references sessions (id) on delete cascade,
    customer_id uuid not null,
    user_id uuid not null,
    expires_at timestamptz not null,
    foreign key (customer_id, user_id) references memberships (customer_id, user_id) on delete cascade
);
create index access_codes_exposure on access_codes (exposure_id);
create index access_codes_session on access_codes (session_id);
create index access_codes_member on access_codes (customer_id, user_id);
create index access_codes_expiry on access_codes (expires_at);

-- Connections through the proxy outlive their route and their right: wishes that an agent cut a port off. Each is a row of
-- its own, so nobody who takes a right waits for another, and one that comes while a cut is made is carried out after it.
create table connection_cuts (
    id bigint generated always as identity primary key,
    owner uuid not null references containers on delete cascade,
    port integer not null,
    -- What slips in while the first cut is made is met by the next.
    rounds integer not null default 2,
    -- The first version of the container without the route; once the proxy uses that, all is cut again. Null: no route ends.
    after_version bigint,
    due_at timestamptz not null default now(),
    lease_until timestamptz,
    attempts integer not null default 0
);
create index connection_cuts_due on connection_cuts (due_at);
create index connection_cuts_owner on connection_cuts (owner);

alter table containers
    -- Why connections that must end stay open; people see it.
    add column cut_fault text;

create index exposures_expiry on exposures (expires_at) where expires_at is not null;
create index exposures_publisher on exposures (published_by) where published_by is not null;

create function wish_cut(of_owner uuid, of_port integer, of_version bigint) returns void language plpgsql as $$
begin
    insert into connection_cuts (owner, port, after_version)
    select of_owner, of_port, of_version where exists (select from containers where owner = of_owner);
    perform pg_notify('cut_due', '');
end $$;

-- A grant that is gone, in whatever way, leaves nobody connected.
create function cut_grant() returns trigger language plpgsql as $$
begin
    perform wish_cut(old.owner, old.port, null);
    return null;
end $$;
create trigger cut after delete on access_grants for each row execute function cut_grant();

-- Whoever may open a port has changed, or what listens there: nobody stays connected, or signed in, by what held before.
create function cut_exposure() returns trigger language plpgsql as $$
declare
    next_version bigint;
begin
    delete from access_grants where exposure_id = old.id;
    delete from access_codes where exposure_id = old.id;
    if tg_op = 'DELETE' or old.kind <> new.kind or (old.visibility = 'public') <> (new.visibility = 'public') then
        -- The version is raised once the whole statement is done.
        select version + 1 into next_version from containers where owner = old.owner;
    end if;
    perform wish_cut(old.owner, old.port, next_version);
    return null;
end $$;
create trigger cut after delete on exposures for each row execute function cut_exposure();
create trigger cut_changed after update on exposures for each row
    when (old.visibility <> new.visibility or old.kind <> new.kind or old.published_by is distinct from new.published_by)
    execute function cut_exposure();

-- The next port that ends by itself may be another one.
create function announce_expiry() returns trigger language plpgsql as $$
begin
    perform pg_notify(tg_argv[0], '');
    return null;
end $$;
create trigger announce_expiry after insert or update of expires_at on exposures for each row
    when (new.expires_at is not null) execute function announce_expiry('port_expiry_due');
create trigger announce_expiry after insert on access_grants for each row
    execute function announce_expiry('access_expiry_due');

-- Another role may open other things. Whoever joins may have published what only owners could open since they were gone.
create function end_grants_of_member() returns trigger language plpgsql as $$
begin
    delete from access_grants where customer_id = new.customer_id and user_id = new.user_id;
    delete from access_grants g using exposures e
    where e.id = g.exposure_id and g.customer_id = new.customer_id and e.visibility = 'private'
        and e.published_by = new.user_id and g.user_id <> new.user_id;
    return null;
end $$;
create trigger end_grants after insert on memberships for each row execute function end_grants_of_member();
create trigger end_grants_changed after update on memberships for each row
    when (old.role <> new.role) execute function end_grants_of_member();

create function end_grants_of_user() returns trigger language plpgsql as $$
begin
    delete from access_grants where user_id = new.id;
    return null;
end $$;
create trigger end_grants after update of suspended_at on users for each row
    when (new.suspended_at is not null and old.suspended_at is null) execute function end_grants_of_user();

create function end_grants_of_customer() returns trigger language plpgsql as $$
begin
    delete from access_grants where customer_id = new.id;
    return null;
end $$;
create trigger end_grants after update of suspended_at on customers for each row
    when (new.suspended_at is not null and old.suspended_at is null) execute function end_grants_of_customer();

-- A container that is being deleted, or that has another customer, has no visitors any more; its guest may take a while to end.
create function end_grants_of_container() returns trigger language plpgsql as $$
begin
    delete from access_grants where owner = new.owner;
    perform wish_cut(new.owner, port, null) from exposures where owner = new.owner;
    return null;
end $$;
create trigger end_grants after update of deleting_at, customer_id on containers for each row
    when ((new.deleting_at is not null and old.deleting_at is null) or old.customer_id <> new.customer_id)
    execute function end_grants_of_container();

-- A session that ends earlier than was said takes what was signed in by it along.
create function end_grants_of_session() returns trigger language plpgsql as $$
begin
    delete from access_grants where session_id = new.id;
    return null;
end $$;
create trigger end_grants after update of user_id, expires_at, token_sha256 on sessions for each row
    when (old.token_sha256 <> new.token_sha256 or old.user_id <> new.user_id or old.expires_at > new.expires_at)
    execute function end_grants_of_session();
