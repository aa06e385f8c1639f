-- What 0010 does not announce: every other way in which a right is lost.

-- Whoever a row is taken from is told as well as whoever gets it.
create or replace function announce_user() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        perform pg_notify('access_changed', 'user ' || old.user_id::text);
    end if;
    if tg_op <> 'DELETE' then
        perform pg_notify('access_changed', 'user ' || new.user_id::text);
    end if;
    return null;
end $$;

-- A session that is prolonged or was seen takes nothing from anybody.
create trigger announce_access_change after update of token_sha256, user_id, expires_at on sessions for each row
    when (old.token_sha256 <> new.token_sha256 or old.user_id <> new.user_id or old.expires_at > new.expires_at)
    execute function announce_user();

drop trigger announce_access_change on api_tokens;
create trigger announce_access_change after update of token_sha256, user_id, scopes, expires_at, customer_id
    on api_tokens for each row execute function announce_user();

-- A container that is gone, or another's: whoever looks at it is one of its customer's, or an operator.
create function announce_customer_of_container() returns trigger language plpgsql as $$
begin
    perform pg_notify('access_changed', 'customer ' || old.customer_id::text);
    return null;
end $$;
create trigger announce_access after delete on containers for each row execute function announce_customer_of_container();
create trigger announce_access_change after update of customer_id on containers for each row
    when (old.customer_id <> new.customer_id) execute function announce_customer_of_container();
