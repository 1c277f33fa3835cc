"""What the recipe scripts and the commands share."""

import yaml


MISTAKES = (ImportError, OSError, TypeError, ValueError, yaml.YAMLError)  # errors that become one line
