//! Claims of the checkpoints.

use super::*;
use crate::domain::Checkpoint;
use crate::domain::ports::CheckpointRepository;

fn checkpoints(database: &Database) -> SqliteCheckpointRepository {
    SqliteCheckpointRepository::new(database.clone())
}

fn at(job: JobId, unit: u32, committed: u32, total: u32) -> Checkpoint {
    Checkpoint {
        job,
        unit,
        description: format!("unit {unit}"),
        committed,
        total,
    }
}

#[test]
fn a_unit_only_moves_forward() {
    let (_folder, database) = database();
    let (units, job) = (checkpoints(&database), new_job(&database).id());
    assert_eq!(units.advance(&at(job, 0, 3, 4)).unwrap(), at(job, 0, 3, 4));
    assert_eq!(
        units.advance(&at(job, 0, 1, 9)).unwrap(),
        at(job, 0, 3, 9),
        "each number keeps its highest"
    );
    assert_eq!(units.advance(&at(job, 0, 5, 2)).unwrap(), at(job, 0, 5, 9));
    let renamed = Checkpoint {
        description: "other words".into(),
        ..at(job, 0, 6, 9)
    };
    assert_eq!(
        units.advance(&renamed).unwrap(),
        at(job, 0, 6, 9),
        "the first description stays"
    );
}

#[test]
fn units_are_listed_by_number_and_by_job() {
    let (_folder, database) = database();
    let (units, job, other) = (
        checkpoints(&database),
        new_job(&database).id(),
        new_job(&database).id(),
    );
    for unit in [2, 0, 1] {
        units.advance(&at(job, unit, unit, 4)).unwrap();
    }
    assert_eq!(
        units.list_checkpoints(job).unwrap(),
        [at(job, 0, 0, 4), at(job, 1, 1, 4), at(job, 2, 2, 4)]
    );
    assert!(units.list_checkpoints(other).unwrap().is_empty());
}

#[test]
fn a_unit_of_an_unknown_job_is_refused() {
    let (_folder, database) = database();
    let outcome = checkpoints(&database).advance(&at(missing_job(), 0, 1, 1));
    assert_eq!(failure(&database, outcome).0, StoreErrorKind::Missing);
    assert_eq!(count(&database, "checkpoint"), 0);
}

#[test]
fn processes_that_advance_one_unit_never_move_it_back() {
    let (folder, first) = database();
    let second = Database::open(&folder.path().join("marketpipe.db")).unwrap();
    let job = new_job(&first).id();
    std::thread::scope(|scope| {
        for (database, offset) in [(&first, 0), (&second, 1), (&first, 2), (&second, 3)] {
            scope.spawn(move || {
                let units = checkpoints(database);
                let mut before = 0;
                for step in 0..25 {
                    // Every thread also reports old news.
                    let committed = if step % 2 == 0 {
                        step * 4 + offset
                    } else {
                        step
                    };
                    let stored = units
                        .advance(&at(job, 0, committed, 100))
                        .unwrap()
                        .committed;
                    assert!(
                        stored >= before.max(committed),
                        "{stored} after {before}, {committed} reported"
                    );
                    before = stored;
                }
            });
        }
    });
    assert_eq!(
        checkpoints(&first).list_checkpoints(job).unwrap(),
        [at(job, 0, 99, 100)]
    );
}

#[test]
fn damage_and_failures_name_the_file() {
    let (_folder, database) = database();
    let (units, job) = (checkpoints(&database), new_job(&database).id());
    units.advance(&at(job, 0, 1, 1)).unwrap();
    damage(&database, "UPDATE checkpoint SET committed = -1");
    assert_eq!(
        failure(&database, units.list_checkpoints(job)).0,
        StoreErrorKind::Damaged
    );
    damage(&database, "DROP TABLE checkpoint");
    failure(&database, units.list_checkpoints(job));
    failure(&database, units.advance(&at(job, 0, 1, 1)));
}
