"""What the service is deployed with: the container image and the Kubernetes manifests."""
