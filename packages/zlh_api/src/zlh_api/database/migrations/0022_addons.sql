-- Addons: each has a port of its own, which is published by the platform for as long as the container has the addon.
alter table exposures
    add column addon text,
    -- Nobody but who enabled it and owners may use an editor of somebody.
    add constraint addon_is_private check (addon is null or (visibility = 'private' and expires_at is null));
alter table containers
    -- Which run of its addons was seen to open from here, by name: its version and when it was started.
    add column addons_opened jsonb not null default '{}',
    -- Of whose pages its agent was last told to let addons take requests; it changes with the platform's own names.
    add column spec_origins text[] not null default '{}';

-- An addon opens for owners whoever has enabled it, and whatever becomes of that user.
create or replace function end_grants_of_member() returns trigger language plpgsql as $$
begin
    delete from access_grants where customer_id = new.customer_id and user_id = new.user_id;
    delete from access_grants g using exposures e
    where e.id = g.exposure_id and g.customer_id = new.customer_id and e.visibility = 'private' and e.addon is null
        and e.published_by = new.user_id and g.user_id <> new.user_id;
    return null;
end $$;
