"""fastnn under the names of others. Each module is imported by whoever wants it; nothing inside fastnn needs one."""
