"""What can go wrong, as sentences."""


class RunnerError(Exception):
    """A verb could not be done. The message is a sentence for people."""


class StartError(Exception):
    """The app could not be started. The message becomes that of ``exit.json``."""
