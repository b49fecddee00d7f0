-- How this application stores a user. rmc-dr sets :user, :hash (pbkdf2-sha512$rounds$salt$hash, base64).
insert into users (name, password_hash) values (:'user', :'hash')
on conflict (name) do update set password_hash = excluded.password_hash
where users.password_hash <> excluded.password_hash;
