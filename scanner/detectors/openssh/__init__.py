"""OpenSSH as it lies in a whole image: who has an account, which daemon there is and what starts it, which files it reads."""
