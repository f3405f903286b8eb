//! The tokio runtime of this process.

use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::{mem, process};

use gastown_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::runtime::{Builder, Runtime};

/// The process that started the runtime, and the runtime; it lives as long as the process.
static STARTED: PyOnceLock<(u32, Runtime)> = PyOnceLock::new();

/// The runtime, started at the first call; refused in a child of fork, where its threads do not exist.
///
/// The interpreter is held throughout, so that no `os.fork` finds it half made.
pub(crate) fn runtime(py: Python<'_>) -> Result<&'static Runtime> {
    let (owner, runtime) = STARTED.get_or_try_init(py, || {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("gastown")
            .build()
            .map_err(|source| Error::unavailable("runtime_start", "threads cannot be started").because(source))?;
        close_gate_at_exit(py).map_err(|source| {
            Error::internal("runtime_exit", "the interpreter takes no exit function").because(source)
        })?;
        Ok::<_, Error>((process::id(), runtime))
    })?;
    if *owner == process::id() {
        return Ok(runtime);
    }
    Err(Error::unsupported(
        "forked",
        "this process was forked after gastown was first used; open the town in the child of a spawn instead",
    )
    .with("parent", owner)
    .with("child", process::id()))
}

/// A value that is only dropped in the process that made it: in a child of fork its threads and locks are not ours.
pub(crate) struct Owned<T> {
    value: Option<T>,
    owner: u32,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), owner: process::id() }
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("only drop takes it")
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.owner != process::id() {
            mem::forget(self.value.take());
        }
    }
}

/// Lets threads of the runtime into the interpreter, until it begins to end.
///
/// A thread that asks for the interpreter while it is being taken down would take the process with it.
static GATE: Mutex<Gate> = Mutex::new(Gate { closed: false, inside: 0 });
static LEFT: Condvar = Condvar::new();

struct Gate {
    closed: bool,
    inside: usize,
}

/// Runs `work` with the interpreter; none, and nothing is done, when that is ending.
pub(crate) fn attach<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    {
        let mut gate = gate();
        if gate.closed {
            return None;
        }
        gate.inside += 1;
    }
    let _leave = Leave;
    Some(Python::attach(work))
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        gate().inside -= 1;
        LEFT.notify_all();
    }
}

fn close_gate_at_exit(py: Python<'_>) -> PyResult<()> {
    let close = wrap_pyfunction!(_close_gate, py)?;
    py.import("atexit")?.call_method1("register", (close,))?;
    Ok(())
}

/// Waits for the threads that are inside, and lets no more in.
#[pyfunction]
fn _close_gate(py: Python<'_>) {
    // In a child of fork there are no such threads, and who was inside in the parent never leaves.
    if STARTED.get(py).is_none_or(|(owner, _)| *owner != process::id()) {
        return;
    }
    py.detach(|| {
        let mut gate = gate();
        gate.closed = true;
        while gate.inside > 0 {
            gate = LEFT.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    });
}

fn gate() -> MutexGuard<'static, Gate> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}
