//! Working on many things side by side, and taking the results one by one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::stop::StopSignal;

/// Threads that work side by side: more than there are cores, since one of them mostly waits for the disk.
pub fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores + cores.div_ceil(2)
}

/// Works on `items` on all cores; `take` gets the results as they come, on this thread.
///
/// After `stop` nothing more is begun; what was begun is finished and taken.
///
/// # Errors
/// The first error of `take`, which ends the work.
pub fn for_each<T: Sync, R: Send, E>(
    items: &[T],
    stop: &StopSignal,
    work: &(dyn Fn(&T) -> R + Sync),
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    for_each_numbered(items, stop, work, |_, result| take(result))
}

/// The same with results in the order of the items.
///
/// # Errors
/// As [`for_each`].
pub fn for_each_in_order<T: Sync, R: Send, E>(
    items: &[T],
    stop: &StopSignal,
    work: &(dyn Fn(&T) -> R + Sync),
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for_each_numbered(items, stop, work, |number, result| {
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&next) {
            take(result)?;
            next += 1;
        }
        Ok(())
    })
}

fn for_each_numbered<T: Sync, R: Send, E>(
    items: &[T],
    stop: &StopSignal,
    work: &(dyn Fn(&T) -> R + Sync),
    mut take: impl FnMut(usize, R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads().min(items.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Few results wait: memory does not grow with the work.
        let (sender, results) = mpsc::sync_channel(threads.max(1));
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while !stop.is_stopped() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else {
                        return;
                    };
                    // Nobody takes results any more once one of them could not be used.
                    if sender.send((number, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        results
            .into_iter()
            .try_for_each(|(number, result)| take(number, result))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_an_error_ends_the_work() {
        let items: Vec<u64> = (0..200).collect();
        let slow = |&n: &u64| {
            std::thread::sleep(std::time::Duration::from_micros(n * 7 % 50));
            n
        };
        let mut taken = Vec::new();
        let stop = StopSignal::default();
        for_each_in_order(&items, &stop, &slow, |n| {
            taken.push(n);
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(taken, items);
        let refused = for_each(
            &items,
            &stop,
            &slow,
            |n| if n == 5 { Err(n) } else { Ok(()) },
        );
        assert_eq!(refused, Err(5));
        stop.stop();
        let begun = for_each(&items, &stop, &slow, |_| Err(()));
        assert_eq!(begun, Ok(()), "nothing is begun after a stop");
    }
}
