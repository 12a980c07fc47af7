"""A site and a model: which images to have labelled, the site's own operating point, the test before use."""
