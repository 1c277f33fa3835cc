"""The option `unusable_rows`, which every trainer and command has."""

CHOICES = ["refuse", "leave_out"]
HELP = "What to do with rows that cannot be used (null, blank, too long, …): refuse the run, or leave them out."


def check_choice(how: str) -> None:
    """Refuses a value of `unusable_rows` that there is not."""
    if how not in CHOICES:
        raise ValueError(f"unusable_rows={how!r} is neither 'refuse' nor 'leave_out'.")
