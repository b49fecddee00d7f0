-- Idempotent; run as the database's owner role before each start. :app is the application's login role.
-- Rows of gamete and embryo checks are never changed or removed by the application: no UPDATE, no DELETE.
create table if not exists users (
    name text primary key,
    password_hash text not null
);

-- One random key per database, so that a token stays good when the application server is rebuilt.
create table if not exists token_key (
    only_one boolean primary key default true check (only_one),
    secret text not null
);
insert into token_key (secret) values (gen_random_uuid()::text || gen_random_uuid()::text)
on conflict do nothing;

create table if not exists patients (
    id uuid primary key,
    code text not null unique,
    created_at timestamptz not null default now()
);

create table if not exists checks (
    id uuid primary key,
    subject text not null check (subject in ('gamete', 'embryo')),
    specimen text not null,
    step text not null,
    witness text not null,
    created_at timestamptz not null default now()
);
-- Whose it is, where that is known.
alter table checks add column if not exists patient uuid;
create index if not exists checks_newest on checks (created_at desc);

create table if not exists attachments (
    id uuid primary key,
    sha256 text not null,
    size_bytes bigint not null,
    created_at timestamptz not null default now()
);

grant usage on schema public to :"app";
grant select on users, token_key, patients to :"app";
grant select, insert on checks, attachments to :"app";
