"""Files that lie in S3-compatible object storage, with a copy on each host that reads them."""
