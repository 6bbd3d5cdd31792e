-- The grant that a browser was handed over for by the touch of a passkey, and the passkey. Null: without a touch.
alter table web_codes add column touched_for text;
alter table web_codes add column touched_with text;
alter table web_sessions add column touched_for text;
alter table web_sessions add column touched_with text;
