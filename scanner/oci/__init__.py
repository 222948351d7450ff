"""OCI images: manifests and digests, tar layers that are never extracted, whiteouts and the squashed view."""
