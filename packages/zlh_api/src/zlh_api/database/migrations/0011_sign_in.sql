-- Wrong passwords of the last minutes, counted for all API processes together. A key is a hash, and so is what is tried.
create table password_tries (
    key text primary key,
    count integer not null,
    since timestamptz not null default now()
);
create index password_tries_since on password_tries (since);

-- A token that was made with another one ends with it: it could do nothing that its maker could not.
alter table api_tokens add column made_by uuid references api_tokens on delete cascade;
create index api_tokens_made_by on api_tokens (made_by);
create index api_tokens_customer on api_tokens (customer_id);

-- A reset is worth as much as the operator who made it.
alter table password_resets add column made_by uuid references users on delete cascade;
