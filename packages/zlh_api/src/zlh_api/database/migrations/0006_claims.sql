-- Claims look for leases that have run out as often as for what is due; only what is worked on has one.
create index containers_leases on containers (lease_until) where lease_until is not null;
