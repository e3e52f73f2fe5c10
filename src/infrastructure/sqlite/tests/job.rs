//! Claims of the jobs.

use super::*;
use crate::domain::JobState;
use crate::domain::job::JobCounts;
use crate::infrastructure::sqlite::job::add_counts_in;

fn jobs(database: &Database) -> SqliteJobRepository {
    SqliteJobRepository::new(database.clone())
}

fn counts(from: u64) -> JobCounts {
    JobCounts {
        rows_new: from,
        rows_revised: from + 1,
        rows_quarantined: from + 2,
        rows_received: from + 3,
        requests: from + 4,
        retries: from + 5,
        wire_bytes: from + 6,
        files_written: from + 7,
        files_unchanged: from + 8,
        empty_sessions: from + 9,
    }
}

#[test]
fn a_new_job_is_pending_and_reads_back() {
    let (_folder, database) = database();
    let job = jobs(&database)
        .create_job(&request("ingest AAPL"), &owner(), 5)
        .unwrap();
    assert_eq!(
        (job.state(), job.created_at_us(), job.request()),
        (JobState::Pending, 5, "ingest AAPL")
    );
    assert_eq!(jobs(&database).get_job(job.id()).unwrap(), job);
}

#[test]
fn every_field_that_changes_is_saved() {
    let (_folder, database) = database();
    let elsewhere = JobOwner {
        pid: u32::MAX,
        host: "elsewhere".into(),
        lease: None,
    };
    let running = new_job(&database).start(elsewhere).unwrap();
    jobs(&database).save_job(&running).unwrap();
    assert_eq!(jobs(&database).get_job(running.id()).unwrap(), running);
    let message = Some("1 symbol failed".to_owned());
    let ended = running
        .finish(JobState::Partial, counts(100), message, 9)
        .unwrap();
    jobs(&database).save_job(&ended).unwrap();
    assert_eq!(jobs(&database).get_job(ended.id()).unwrap(), ended);
}

fn add_counts(database: &Database, id: JobId, counts: &JobCounts) -> Result<(), StoreError> {
    database.write(|transaction| add_counts_in(transaction, id, counts))
}

#[test]
fn counts_of_commits_add_up() {
    let (_folder, database) = database();
    let job = new_job(&database);
    add_counts(&database, job.id(), &counts(10)).unwrap();
    add_counts(&database, job.id(), &counts(0)).unwrap();
    let stored = *jobs(&database).get_job(job.id()).unwrap().counts();
    assert_eq!(
        (stored.rows_new, stored.requests, stored.empty_sessions),
        (10, 18, 28)
    );
}

#[test]
fn a_job_that_does_not_exist_is_missing() {
    let (_folder, database) = database();
    let job = IngestionJob::planned(missing_job(), request("never stored"), owner(), 0);
    let outcomes = [
        jobs(&database).save_job(&job),
        jobs(&database).get_job(job.id()).map(|_| ()),
        add_counts(&database, job.id(), &counts(0)),
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.kind, error.to_string()),
            (StoreErrorKind::Missing, "job 4711 does not exist".into())
        );
    }
}

#[test]
fn only_the_job_of_a_dead_owner_is_closed() {
    let (_folder, database) = database();
    let dead = new_job(&database);
    let taken_over = new_job(&database);
    let running = taken_over
        .clone()
        .start(JobOwner {
            lease: Some("another".into()),
            ..owner()
        })
        .unwrap();
    jobs(&database)
        .claim_job(&running, JobState::Pending)
        .unwrap();
    assert_eq!(jobs(&database).list_unfinished().unwrap().len(), 2);
    assert!(jobs(&database).close_dead(&dead, 9).unwrap());
    assert!(
        !jobs(&database).close_dead(&taken_over, 9).unwrap(),
        "it has another owner now"
    );
    assert_eq!(jobs(&database).list_unfinished().unwrap(), [running]);
    let closed = jobs(&database).get_job(dead.id()).unwrap();
    assert_eq!(
        (closed.state(), closed.finished_at_us()),
        (JobState::Interrupted, Some(9))
    );
}

#[test]
fn a_job_is_claimed_once() {
    let (_folder, database) = database();
    let running = new_job(&database).start(owner()).unwrap();
    jobs(&database)
        .claim_job(&running, JobState::Pending)
        .unwrap();
    let error = jobs(&database)
        .claim_job(&running, JobState::Pending)
        .unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Locked);
}

#[test]
fn a_wish_to_end_reaches_jobs_under_way_and_ends_with_the_next_start() {
    let (_folder, database) = database();
    let job = new_job(&database);
    assert!(!jobs(&database).is_cancel_requested(job.id()).unwrap());
    assert!(jobs(&database).request_cancel(job.id()).unwrap());
    assert!(jobs(&database).is_cancel_requested(job.id()).unwrap());
    jobs(&database).close_dead(&job, 9).unwrap();
    assert!(
        !jobs(&database).request_cancel(job.id()).unwrap(),
        "nobody is there to hear it"
    );
    let again = jobs(&database)
        .get_job(job.id())
        .unwrap()
        .start(owner())
        .unwrap();
    jobs(&database)
        .claim_job(&again, JobState::Interrupted)
        .unwrap();
    assert!(!jobs(&database).is_cancel_requested(job.id()).unwrap());
}

#[test]
fn old_jobs_go_unless_evidence_refers_to_them() {
    let (_folder, database) = database();
    let ended = |at_us| {
        let job = new_job(&database).start(owner()).unwrap();
        let job = job
            .finish(JobState::Completed, counts(0), None, at_us)
            .unwrap();
        jobs(&database).save_job(&job).unwrap();
        job.id()
    };
    let (old, evident, recent) = (ended(5), ended(5), ended(50));
    let under_way = new_job(&database).id();
    damage(
        &database,
        &format!(
            "INSERT INTO quarantine (dataset, symbol, rule, evidence, source, job_id, seen_at_us)
             VALUES ('a/b/c', 'A', 'low-above-body', '', '', {evident}, 0);
             INSERT INTO checkpoint VALUES ({old}, 0, '', 1, 1);
             INSERT INTO commit_log (job_id, at_us, partitions, rows_new, rows_revised)
             VALUES ({old}, 0, 0, 0, 0);"
        ),
    );
    let pruned = jobs(&database).prune_jobs(10).unwrap();
    assert_eq!(
        pruned,
        PrunedJobs {
            deleted: 1,
            kept: 1
        }
    );
    let left: Vec<JobId> = jobs(&database)
        .list_jobs(9)
        .unwrap()
        .iter()
        .map(IngestionJob::id)
        .collect();
    assert_eq!(left, [under_way, recent, evident]);
    assert_eq!(
        (
            count(&database, "checkpoint"),
            count(&database, "commit_log")
        ),
        (0, 1)
    );
    database.verify().unwrap();
}

#[test]
fn jobs_are_listed_newest_first_up_to_the_limit() {
    let (_folder, database) = database();
    let ids: Vec<JobId> = (0..5).map(|_| new_job(&database).id()).collect();
    let listed = |limit| {
        jobs(&database)
            .list_jobs(limit)
            .unwrap()
            .iter()
            .map(IngestionJob::id)
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(2), [ids[4], ids[3]]);
    assert_eq!(listed(u32::MAX).len(), 5);
    assert!(listed(0).is_empty());
}

#[test]
fn ids_are_unique_across_handles_and_never_given_again() {
    let (folder, first) = database();
    let second = Database::open(&folder.path().join("marketpipe.db")).unwrap();
    let mut ids: Vec<i64> = std::thread::scope(|scope| {
        let threads: Vec<_> = [&first, &second, &first, &second]
            .into_iter()
            .map(|database| {
                scope.spawn(move || {
                    (0..10)
                        .map(|_| new_job(database).id().0)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    ids.sort_unstable();
    assert_eq!(ids, (1..=40).collect::<Vec<i64>>());
    damage(&first, "DELETE FROM job");
    assert_eq!(new_job(&second).id(), JobId(41));
}

#[test]
fn damage_and_failures_name_the_file() {
    let (_folder, database) = database();
    let (repository, job) = (jobs(&database), new_job(&database));
    damage(&database, "UPDATE job SET state = 'dreaming'");
    let (kind, text) = failure(&database, repository.get_job(job.id()));
    assert_eq!(kind, StoreErrorKind::Damaged);
    assert!(text.contains("stored value is no job state"), "{text}");
    damage(&database, "UPDATE job SET state = 'pending', rows_new = -1");
    assert_eq!(
        failure(&database, repository.list_jobs(1)).0,
        StoreErrorKind::Damaged
    );
    damage(&database, "ALTER TABLE job RENAME TO lost");
    failure(&database, repository.get_job(job.id()));
    failure(&database, repository.list_jobs(1));
    failure(&database, repository.save_job(&job));
    failure(&database, add_counts(&database, job.id(), &counts(0)));
    failure(&database, repository.create_job(&request(""), &owner(), 0));
}
