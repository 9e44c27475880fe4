//! An allocator that counts: the only honest way to prove that nothing native leaks inside a host that leaks itself.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, Ordering},
};

struct Counting;

static IN_USE: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes in use.
pub fn in_use() -> i64 {
    IN_USE.load(Ordering::Relaxed)
}

fn count(bytes: usize, sign: i64) {
    IN_USE.fetch_add(sign * i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
}

// SAFETY: everything is done by the system's allocator; the counter does not touch the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are handed on.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            count(layout.size(), 1);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(memory, layout) };
        count(layout.size(), -1);
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are handed on.
        let moved = unsafe { System.realloc(memory, layout, size) };
        if !moved.is_null() {
            count(layout.size(), -1);
            count(size, 1);
        }
        moved
    }
}
