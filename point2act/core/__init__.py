"""Types, geometry, files and logging that every other package uses. numpy only."""
