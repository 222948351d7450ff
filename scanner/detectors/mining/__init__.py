"""What the miner detectors share: pools, wallets, families, contexts, scripts and the verdict. No module here is a plug-in."""
