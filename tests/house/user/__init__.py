"""Programs that a user of eventlab would write: public API only, type-checked and run by tests."""
