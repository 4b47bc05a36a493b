"""A fake NICE CXone with tokens, routing, agent sessions and a screen pop."""
