"""`wav2uti report`: tables, figures and one page that compare tested runs."""
