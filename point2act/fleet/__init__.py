"""Many jobs: a manifest of captures and questions, a store of results, and processes that share the work."""
