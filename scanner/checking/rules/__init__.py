"""What is looked for in the builds of a repository: one file for each rule, each exporting `PLUGIN = Check(…)`."""
