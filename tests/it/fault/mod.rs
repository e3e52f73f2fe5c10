//! Faults from outside the program, one file for each kind. Every distinct one leaves a row for the table of results.

mod clock;
mod security;
