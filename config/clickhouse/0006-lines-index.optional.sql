-- Servers before 26.2 do not know this index: there, search reads everything.
ALTER TABLE audit.lines ADD INDEX IF NOT EXISTS words text TYPE text(tokenizer = splitByNonAlpha, preprocessor = lower(text));
