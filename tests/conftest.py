"""What every test stands on."""

import signal

# A shell starts background jobs with SIGINT ignored, and programs started here would inherit that: no Ctrl-C to test.
signal.signal(signal.SIGINT, signal.default_int_handler)
