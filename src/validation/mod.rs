//! Says what is wrong with what is stored, where, and why it thinks so.
//!
//! Reading order: `runner` (which series, in what order, what becomes of findings), `series` (one series from its files
//! to its findings), `completeness`, `cross_frame`, `report`. The rules over minutes are a domain service.

mod completeness;
mod cross_frame;
#[cfg(test)]
mod fakes;
mod report;
mod runner;
mod series;

pub use completeness::SessionFacts;
pub use report::{FindingSink, JudgedFinding, RuleCount, SeriesSummary, ValidationReport};
pub use runner::{ValidationPorts, ValidationRequest, ValidationRunner};
