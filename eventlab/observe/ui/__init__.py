"""A read-only website that shows the stored events and the lag of views and subscriptions."""
