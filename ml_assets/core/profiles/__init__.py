"""What an installation runs on: files of one machine, or servers that several hosts share."""
