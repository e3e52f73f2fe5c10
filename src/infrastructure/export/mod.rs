//! What leaves the lake in other forms: columns for tables, and the folders that LEAN reads. Knows no command and no catalog.

pub mod lean;
pub mod table;
