"""Completion of commands and options in bash, zsh and fish."""
