-- Game servers: what one was made from, as it was offered then, and what its customer has chosen and agreed to.
alter table containers add column game jsonb,
    add constraint game_has_its_kind check (game is null or kind = 'game');

-- Ports of the proxy that lead to game servers. One belongs to its container until the row goes, which is after its route
-- was seen to be gone.
create table game_ports (
    owner uuid not null references containers on delete cascade,
    -- As the template calls it.
    name text not null,
    protocol text not null check (protocol in ('tcp', 'udp')),
    -- Of the container.
    port integer not null check (port between 1 and 65535),
    -- Of the proxy.
    public_port integer not null check (public_port between 1 and 65535),
    primary key (protocol, public_port),
    unique (owner, name, protocol)
);
create trigger added after insert on game_ports referencing new table as changed
    for each statement execute function note_parts();
create trigger altered after update on game_ports referencing new table as changed
    for each statement execute function note_parts();
create trigger removed after delete on game_ports referencing old table as changed
    for each statement execute function note_parts();
