"""Rules that judge a profile: bottlenecks, idle hardware, slow steps."""
