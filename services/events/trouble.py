"""Why a command ends without having done what it was asked."""


class CommandError(Exception):
    """A sentence for whoever gave the command."""

    code = 1


class UsageError(CommandError):
    """What was asked for, or the environment, makes no sense."""

    code = 2
