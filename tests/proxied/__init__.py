"""What the tests of jupyter-server-proxy's servers start, and packages that define them."""
