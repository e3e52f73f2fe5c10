-- What a session should have is the calendar's to say, and sessions between two that were asked for have minutes, too.
ALTER TABLE session_record DROP COLUMN expected_minutes;
