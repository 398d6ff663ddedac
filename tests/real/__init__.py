"""The whole thing: real Jupyter servers, real applications, a real browser, a real hub."""
