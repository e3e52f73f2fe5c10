//! Working on many things side by side, and taking the results one by one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

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
    for_each_numbered(items, stop, work, None, |_, result| take(result))
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
    let window = Window::new(RESULTS_AHEAD * threads());
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for_each_numbered(items, stop, work, Some(&window), |number, result| {
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&next) {
            take(result)?;
            next += 1;
            window.move_to(next);
        }
        Ok(())
    })
}

/// Results a thread that may wait for an earlier one.
const RESULTS_AHEAD: usize = 8;

/// How far ahead of the last result that was taken work may be begun: one slow item does not fill the memory with the
/// results of all others.
struct Window {
    taken: Mutex<usize>,
    moved: Condvar,
    ahead: usize,
}

impl Window {
    fn new(ahead: usize) -> Self {
        Self {
            taken: Mutex::new(0),
            moved: Condvar::new(),
            ahead,
        }
    }

    fn wait_for(&self, number: usize) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_far = |taken: &mut usize| number >= taken.saturating_add(self.ahead);
        let waited = self.moved.wait_while(taken, is_far);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn move_to(&self, taken: usize) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        self.moved.notify_all();
    }
}

/// Opens a window for good when it is dropped.
struct OpenAtEnd<'a>(&'a Window);

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        self.0.move_to(usize::MAX);
    }
}

fn for_each_numbered<T: Sync, R: Send, E>(
    items: &[T],
    stop: &StopSignal,
    work: &(dyn Fn(&T) -> R + Sync),
    window: Option<&Window>,
    mut take: impl FnMut(usize, R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads().min(items.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // However this ends, nobody waits for it to go on.
        let _opened = window.map(OpenAtEnd);
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
                    if let Some(window) = window {
                        window.wait_for(number);
                    }
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
        let refused = for_each_in_order(
            &items,
            &stop,
            &slow,
            |n| {
                if n == 5 { Err(n) } else { Ok(()) }
            },
        );
        assert_eq!(refused, Err(5), "nobody waits for the one that failed");
        stop.stop();
        let begun = for_each(&items, &stop, &slow, |_| Err(()));
        assert_eq!(begun, Ok(()), "nothing is begun after a stop");
    }

    #[test]
    fn one_slow_item_holds_up_the_others_once_many_wait_for_it() {
        let items: Vec<usize> = (0..10_000).collect();
        let begun = AtomicUsize::new(0);
        let most = RESULTS_AHEAD * threads();
        let work = |&n: &usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            if n == 0 {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            (n, begun.load(Ordering::SeqCst))
        };
        let mut begun_before_the_first = 0;
        for_each_in_order(&items, &StopSignal::default(), &work, |(n, begun)| {
            if n == 0 {
                begun_before_the_first = begun;
            }
            Ok::<(), ()>(())
        })
        .unwrap();
        assert!(
            begun_before_the_first <= most,
            "{begun_before_the_first} were begun, {most} may wait"
        );
        assert_eq!(begun.into_inner(), items.len());
    }
}
