"""What a pod on Kubernetes reaches: `policies` is the algebra of every kind of policy, `graph` draws a pod's reach."""
