"""What several test files share: tiny systems, prepared data, the scripts as processes, mutations of files."""
