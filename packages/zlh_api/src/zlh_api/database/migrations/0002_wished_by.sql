-- The request that wished for what is not reached yet: what is done to reach it is logged on its behalf.
alter table containers add column request_id text;
