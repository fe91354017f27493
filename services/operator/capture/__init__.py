"""What a person asks of the recording: store what failed, find holes, archive a day, look at a window."""
