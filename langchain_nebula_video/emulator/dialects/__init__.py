"""The services that the emulator imitates: their routes, checks, error bodies and models."""
