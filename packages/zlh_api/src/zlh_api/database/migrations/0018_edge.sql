-- What the edge keeps of a container: its records at the DNS providers, and what has broken since it was proved.
alter table containers
    -- Digests of the records that were written last, and of those that every provider has been seen to answer.
    add column records_written text,
    add column records_answered text,
    -- Why its public name does not lead to it any more, though it did.
    add column edge_faults text[] not null default '{}';

alter table exposures
    -- What listens there: an https server of a container has a certificate that nobody can check.
    add column kind text not null default 'http' check (kind in ('http', 'https')),
    -- A private exposure opens for this user alone; whoever is gone leaves it closed to all but its customer's owners.
    add column published_by uuid references users on delete set null;
