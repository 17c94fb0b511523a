"""Status stores: where batches and jobs are documents that anyone can watch."""
