//! Runs one piece of work on a thread of its own, with a stack size, a memory limit and a deadline.
//!
//! The last line of defence against hostile templates. Rust cannot end a thread from outside, and an
//! allocation that fails ends the process; so work that goes beyond a limit is stopped where it next
//! allocates, inside the allocator, and stays there for good: the caller gets its error, and the
//! thread with its memory (below the limit) is left behind. Whoever calls must see to it that the same
//! work is not tried again (`templates.rs` does). Work that neither ends nor allocates keeps its core.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

pub struct Limits {
    pub stack_bytes: usize,
    pub memory_bytes: usize,
    pub time: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    Memory,
    Time,
    /// The system gave no thread; the text says why.
    NoThread(String),
}

/// `work` must own what it uses: it may outlive the call. A panic of the work goes on in the caller.
pub fn run<T: Send + 'static>(
    limits: &Limits,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stopped> {
    let watch = Arc::new(Watch {
        memory_left: AtomicI64::new(i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX)),
        over: AtomicBool::new(false),
        done: AtomicBool::new(false),
        caller: std::thread::current(),
    });
    let deadline = Instant::now() + limits.time;
    let worker = std::thread::Builder::new().stack_size(limits.stack_bytes).spawn({
        let watch = Arc::clone(&watch);
        move || {
            let _watched = Watched::begin(watch);
            work()
        }
    });
    let worker = worker.map_err(|e| Stopped::NoThread(e.to_string()))?;
    loop {
        if watch.done.load(Ordering::Acquire) {
            return Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        if watch.over.load(Ordering::Acquire) {
            return Err(Stopped::Memory);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // From now on the work stops at its next allocation.
            watch.memory_left.store(i64::MIN / 2, Ordering::Relaxed);
            return Err(Stopped::Time);
        }
        std::thread::park_timeout(left);
    }
}

/// What the caller and the worker share.
struct Watch {
    memory_left: AtomicI64,
    over: AtomicBool,
    done: AtomicBool,
    caller: Thread,
}

thread_local! {
    // The watch of this thread, or null. Const-initialised and without a destructor, so that the
    // allocator may look at it at any time.
    static WATCH: Cell<*const Watch> = const { Cell::new(ptr::null()) };
}

/// Sets WATCH, and on the way out (a panic too) resets it and tells the caller.
struct Watched(Arc<Watch>);

impl Watched {
    fn begin(watch: Arc<Watch>) -> Watched {
        WATCH.with(|slot| slot.set(Arc::as_ptr(&watch)));
        Watched(watch)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        WATCH.with(|slot| slot.set(ptr::null()));
        self.0.done.store(true, Ordering::Release);
        self.0.caller.unpark();
    }
}

/// The system's allocator; on a watched thread it counts, and blocks for good beyond the limit.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: i64) {
    let watch = WATCH.try_with(Cell::get).unwrap_or(ptr::null());
    // A panic's report may take memory while it holds locks of the runtime: it must go on.
    if watch.is_null() || std::thread::panicking() {
        return;
    }
    // The Arc in Watched, on this thread's stack, keeps it alive.
    let watch = unsafe { &*watch };
    let left = watch.memory_left.fetch_sub(bytes, Ordering::Relaxed) - bytes;
    if left < 0 && bytes > 0 {
        watch.over.store(true, Ordering::Release);
        watch.caller.unpark();
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

fn size(layout: Layout) -> i64 {
    layout.size() as i64 // a Layout is never above isize::MAX
}

// Safety: every request goes to System unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-size(layout));
        System.dealloc(block, layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - size(layout));
        System.realloc(block, layout, new_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { stack_bytes: 1 << 20, memory_bytes: 1 << 20, time: Duration::from_secs(60) };

    #[test]
    fn work_within_the_limits_gives_its_result() {
        assert_eq!(run(&LIMITS, || vec![7u8; 1 << 19].len()), Ok(1 << 19));
    }

    #[test]
    fn freed_memory_counts_no_more() {
        let rounds = || (0..100).map(|_| vec![7u8; 1 << 19].len()).sum::<usize>();
        assert_eq!(run(&LIMITS, rounds), Ok(100 << 19));
    }

    #[test]
    fn too_much_memory() {
        assert_eq!(run(&LIMITS, || vec![7u8; 2 << 20].len()), Err(Stopped::Memory));
        let grow = || {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![0u8; 1000]);
            }
        };
        assert_eq!(run::<()>(&LIMITS, grow), Err(Stopped::Memory));
    }

    #[test]
    fn too_much_time() {
        let limits = Limits { time: Duration::from_millis(50), ..LIMITS };
        let spin = || loop {
            drop(std::hint::black_box(Box::new(1)));
        };
        assert_eq!(run::<()>(&limits, spin), Err(Stopped::Time));
    }

    #[test]
    fn panics_go_on_in_the_caller() {
        let caught = std::panic::catch_unwind(|| run(&LIMITS, || panic!("on purpose")));
        assert!(caught.is_err_and(|panic| panic.downcast_ref::<&str>() == Some(&"on purpose")));
    }
}
