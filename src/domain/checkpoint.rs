//! Checkpoints: how far each unit of a job is. They inform and never go back; the ledger alone decides what is fetched.

use super::job::JobId;

/// How far one unit of a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The job.
    pub job: JobId,
    /// Number of the unit within the job's plan, from 0.
    pub unit: u32,
    /// What the unit covers, in words.
    pub description: String,
    /// Partitions of the unit that are committed.
    pub committed: u32,
    /// Partitions the unit has in all, as far as is known.
    pub total: u32,
}

impl Checkpoint {
    /// Whether everything of the unit is committed.
    pub fn is_complete(&self) -> bool {
        self.committed >= self.total
    }

    /// The later of two states of one unit: neither number ever goes back.
    pub fn advanced_by(self, other: &Self) -> Self {
        Self {
            committed: self.committed.max(other.committed),
            total: self.total.max(other.total),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_never_goes_back() {
        let at = |committed| Checkpoint {
            job: JobId(1),
            unit: 0,
            description: String::new(),
            committed,
            total: 4,
        };
        assert_eq!(at(3).advanced_by(&at(1)), at(3));
        assert!(!at(1).advanced_by(&at(3)).is_complete());
        assert!(at(4).is_complete());
    }
}
