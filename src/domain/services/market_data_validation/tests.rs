//! Each rule on made-up minutes: what it finds, where, and what it leaves alone.
