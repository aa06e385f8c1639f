-- What the agent that took the spec last was known to understand: one that has learned more since is sent it again.
alter table containers add column spec_protocol integer not null default 0;
