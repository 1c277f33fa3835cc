"""Where rows come from before a curriculum sees them: mixtures, generated tasks, clusters."""
