"""Where notebooks execute: kernels forked from a process that has imported the stack, or standard ones."""
