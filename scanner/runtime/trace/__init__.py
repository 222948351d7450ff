"""Who did it: every program that a sandbox starts and every address that it asks for, told by the kernel."""
