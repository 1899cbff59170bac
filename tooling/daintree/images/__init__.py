"""Images: how they are named, the engine that builds and runs them, the registry that keeps them."""
