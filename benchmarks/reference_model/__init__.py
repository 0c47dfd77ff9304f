"""One small staged rollout, stated in README.md, in several simulators: what each makes of the same work."""
