-- Names of deleted containers at DNS providers that were configured no more when they went, so that nobody could look
-- whether a record is left there.
create table left_records (
    provider text not null,
    owner uuid not null,
    names text[] not null,
    left_at timestamptz not null default now(),
    primary key (provider, owner)
);
