"""Parts of Kubernetes manifests: values and selectors, pod specifications, network policies of every kind."""
