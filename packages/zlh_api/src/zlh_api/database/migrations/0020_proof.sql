-- What the proof that goes on has seen of a container's chain; apart from its row, since most of it is nobody's news.
create table proofs (
    owner uuid primary key references containers on delete cascade,
    -- When the whole chain was looked at last, and when a person asked for that last.
    checked_at timestamptz,
    asked_at timestamptz,
    -- Each link as it was seen last, and how often it held or failed in a row.
    links jsonb not null default '[]',
    -- What the proxy showed for its name, and when.
    certificate jsonb
);

-- What whoever patrols has seen of the edge as a whole.
alter table patrol add column edge jsonb;

-- An agent that is back is a reason to look whether the rest of the chain is.
create function announce_reconnect() returns trigger language plpgsql as $$
begin
    perform pg_notify('proof_hinted', new.vmid::text);
    return null;
end $$;
create trigger announce_reconnect after update of connection on containers for each row
    when (old.connection <> 'online' and new.connection = 'online' and new.provisioned_at is not null)
    execute function announce_reconnect();
