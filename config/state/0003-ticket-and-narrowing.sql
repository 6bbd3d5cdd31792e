-- The ticket that a request names, and what an approver cut from the role.
alter table grants add column ticket text not null default '';
alter table grants add column read_only bigint not null default 0;
