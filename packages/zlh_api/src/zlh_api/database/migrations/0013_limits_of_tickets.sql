-- How many tickets of one session or token are not used yet is asked whenever it makes another.
create index tickets_credential on tickets (credential_sha256);
