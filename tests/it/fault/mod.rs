//! Faults of the machine: what the program says and leaves behind, and that a plain rerun makes it good.

mod storage;
