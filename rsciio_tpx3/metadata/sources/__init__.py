"""Where metadata come from: files of instruments and programs."""
