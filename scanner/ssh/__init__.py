"""The SSH configuration languages, read as OpenSSH reads them: no file of the host is opened, and no program is run."""
