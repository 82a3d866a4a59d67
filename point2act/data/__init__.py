"""What lies on disk: captures and their importers, points, task plans, scenes and run manifests."""
