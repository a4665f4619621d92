"""Hands over to memstore.migrations, so that a checkout and an installed memstore migrate alike."""

from memstore.migrations import environment

environment.run()
