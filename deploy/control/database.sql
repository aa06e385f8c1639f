-- The roles and the database, for psql as the server's own superuser; may be run again, and changes nothing that is right.
--
--   runuser -u postgres -- psql --set ON_ERROR_STOP=1 --file database.sql
--
-- Everything belongs to `zlh`, which nobody signs in as. Who signs in is known by the user of this machine, without a
-- password: the API's own, and root, who is the API with the driver `lxc` and makes the backups. Both act as `zlh`, so
-- it is the same to whom a table belongs.
select 'create role zlh nologin'
where not exists (select from pg_roles where rolname = 'zlh') \gexec
select format('create role %I login in role zlh', name)
from (values ('zlh-api'), ('root')) as users (name)
where not exists (select from pg_roles where rolname = name) \gexec
select format('grant zlh to %I', name)
from (values ('zlh-api'), ('root')) as users (name)
where not pg_has_role(name, 'zlh', 'member') \gexec
select format('alter role %I set role = %L', name, 'zlh')
from (values ('zlh-api'), ('root')) as users (name)
where not exists (
    select from pg_db_role_setting where setrole = name::text::regrole and setdatabase = 0 and 'role=zlh' = any (setconfig)
) \gexec
select 'create database zlh owner zlh template template0 encoding ''UTF8'' locale ''C'''
where not exists (select from pg_database where datname = 'zlh') \gexec
select 'revoke all on database zlh from public'
where exists (
    select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) as held
    where datname = 'zlh' and held.grantee = 0
) \gexec
