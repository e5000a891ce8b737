"""`python -m wav2uti`."""

from wav2uti.cli import main

raise SystemExit(main())
