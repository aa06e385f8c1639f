-- Addons: each has a port of its own, which is published by the platform for as long as the container has the addon.
alter table exposures
    add column addon text,
    -- Nobody but who enabled it and owners may use an editor of somebody.
    add constraint addon_is_private check (addon is null or (visibility = 'private' and expires_at is null));
alter table containers
    -- Which run of its addons was seen to open from here, by name: its version and when it was started.
    add column addons_opened jsonb not null default '{}';
