"""The web page `wav2uti app`: speech in, the tongue beside its waveform and spectrogram.

The page and the files of its users are kept by the server; models and whatever users send are touched in a process of
their own (`worker`), which may be killed without harm to the page.
"""
