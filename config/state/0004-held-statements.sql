-- A request may be for one statement under a live grant: which grant that is, and what would run.
alter table grants add column under text;
alter table grants add column statement text;
create index grants_under on grants (under, state);
drop index grants_one_waiting;
create unique index grants_one_waiting on grants (subject, target, role) where state = 'requested' and extends is null and under is null;
