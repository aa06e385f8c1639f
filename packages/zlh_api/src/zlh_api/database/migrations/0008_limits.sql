-- What the guest was last seen to have, all of it; null where there is none, or where that cannot be told.
alter table containers add column resources_in_force jsonb;
-- A container that was killed goes down at once, also when the one who was told so has died meanwhile.
alter table containers add column stop_at_once boolean not null default false;
