"""The Kubernetes cluster: the few calls that Workflows take, behind one Protocol."""
