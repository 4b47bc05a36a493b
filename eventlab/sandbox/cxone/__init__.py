"""A fake NICE CXone: tokens, routing, agent sessions and the screen pop."""
