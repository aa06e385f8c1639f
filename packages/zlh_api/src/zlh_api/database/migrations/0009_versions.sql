-- A container has a version that grows with all that a person could see of it, its steps and exposures included: what was
-- rendered for one version stands for it, and a change is announced once, however many parts of it have changed.
alter table containers add column version bigint not null default 0;

-- An API process holds its links for as long as its own row lasts: renewing ten thousand of them is one write.
create table link_holders (
    holder uuid primary key,
    until timestamptz not null
);
drop index containers_link;
alter table containers drop column link_until;
update containers set link_holder = null;
create index containers_linked on containers (link_holder) where link_holder is not null;
create index containers_unlinked on containers (vmid) where link_holder is null and address is not null and guest = 'running';

-- Who works on it, and when, is nobody's business.
create function note_version() returns trigger language plpgsql as $$
declare
    before containers := old;
begin
    before.lease_holder := new.lease_holder;
    before.lease_until := new.lease_until;
    before.fence := new.fence;
    before.link_holder := new.link_holder;
    before.link_fence := new.link_fence;
    before.wake_at := new.wake_at;
    before.held_until := new.held_until;
    before.waiting_since := new.waiting_since;
    before.driver_notes := new.driver_notes;
    if before is distinct from new and before.version = new.version then
        new.version := old.version + 1;
    end if;
    return new;
end $$;
create trigger note_version before update on containers for each row execute function note_version();

drop trigger announce on containers;
create or replace function announce_container() returns trigger language plpgsql as $$
begin
    perform pg_notify('container_changed', coalesce(new.vmid, old.vmid)::text);
    return null;
end $$;
create trigger announce after insert or delete on containers for each row execute function announce_container();
create trigger announce_change after update on containers for each row
    when (old.version is distinct from new.version) execute function announce_container();

drop trigger announce on steps;
drop trigger announce on exposures;
drop function announce_part();
create function note_parts() returns trigger language plpgsql as $$
begin
    update containers set version = version + 1 where owner in (select owner from changed);
    return null;
end $$;
create trigger added after insert on steps referencing new table as changed
    for each statement execute function note_parts();
create trigger altered after update on steps referencing new table as changed
    for each statement execute function note_parts();
create trigger removed after delete on steps referencing old table as changed
    for each statement execute function note_parts();
create trigger added after insert on exposures referencing new table as changed
    for each statement execute function note_parts();
create trigger altered after update on exposures referencing new table as changed
    for each statement execute function note_parts();
create trigger removed after delete on exposures referencing old table as changed
    for each statement execute function note_parts();

-- Whether anybody must be woken is seen without a call.
drop trigger announce_wake on containers;
create trigger announce_wake after insert or update of wake_at on containers
    for each row when (new.wake_at <= now()) execute function announce_wake();
