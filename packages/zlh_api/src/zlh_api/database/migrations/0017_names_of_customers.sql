-- Two customers may have one name: else who renames their own finds out what others are called. Operators are told where
-- they would name one like another.
drop index customers_name;
create index customers_name on customers (lower(name), id);
