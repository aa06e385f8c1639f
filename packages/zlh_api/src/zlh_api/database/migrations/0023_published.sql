-- An agent is told which ports its customer has published, so a change of that is a new spec, in whatever way it comes; who
-- may open a port is none of its business. One write with the version, which is raised once for each change.
create function note_exposures() returns trigger language plpgsql as $$
begin
    update containers c set version = c.version + 1,
        spec_generation = c.spec_generation + (exists (select from changed x where x.owner = c.owner and x.addon is null))::int
    where c.owner in (select owner from changed);
    return null;
end $$;
create function note_exposures_altered() returns trigger language plpgsql as $$
begin
    update containers c set version = c.version + 1,
        spec_generation = c.spec_generation + (exists (
            select from changed x join before b on b.id = x.id
            where x.owner = c.owner and (
                (b.port, b.addon is null) <> (x.port, x.addon is null)
                -- One whose time was over already had ended for the agent too.
                or coalesce(b.expires_at <= now(), false) <> coalesce(x.expires_at <= now(), false))))::int
    where c.owner in (select owner from changed);
    return null;
end $$;
drop trigger added on exposures;
drop trigger altered on exposures;
drop trigger removed on exposures;
create trigger added after insert on exposures referencing new table as changed
    for each statement execute function note_exposures();
create trigger removed after delete on exposures referencing old table as changed
    for each statement execute function note_exposures();
create trigger altered after update on exposures referencing old table as before new table as changed
    for each statement execute function note_exposures_altered();

-- What was published before agents were told.
update containers set spec_generation = spec_generation + 1
where owner in (select owner from exposures where addon is null);
