"""Transcripts of audio files of any length, by the pipeline's recogniser."""
