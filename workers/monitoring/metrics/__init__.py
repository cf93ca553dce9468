"""What Prometheus reads: of the pool as a whole from Flower, of its own calls from each worker."""
