"""The handlers of our pages in Flower."""
