"""What stands around a training: saving it, going on with it, averaging its weights, watching it."""
