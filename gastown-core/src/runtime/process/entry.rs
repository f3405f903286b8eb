//! The supervisor as a program of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::SyncSender;
use std::thread;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd;

use super::folder::Folder;
use super::launch;
use super::supervise::{self, Event, unavailable};
use crate::model::{Error, Result};
use crate::runtime::ExitRecord;

/// The mode in which a program is a supervisor.
pub(super) const MODE: &str = "session";
/// What the supervisor prints once, when the agent runs or is known not to.
pub(super) const READY: &str = "ready\n";

/// Runs the session mode where the arguments ask for it, and answers the exit code; otherwise `None`.
///
/// A host program that calls this first in `main`, before it starts a thread, can name its own executable as the
/// supervisor. The arguments are those of `std::env::args_os`, the program's name first:
/// `session --dir <folder>` and `session-exec …`, which the supervisor calls itself.
pub fn session_main(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let args: Vec<OsString> = args.into_iter().skip(1).collect();
    match args.first()?.to_str()? {
        MODE => match &args[1..] {
            [flag, dir] if flag == "--dir" => Some(match supervise(&PathBuf::from(dir)) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => complain(&error.chain()),
            }),
            _ => None,
        },
        launch::EXEC_MODE => Some(complain(&launch::become_agent(&args[1..]).to_string())),
        _ => None,
    }
}

/// The log of the session is our standard error; nobody is there to hear that it cannot be written.
fn complain(text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::FAILURE
}

/// Makes this process the supervisor of the session in `dir`, and answers how the session ended.
///
/// It changes the whole process: a session of its own, the new parent of whatever the agent leaves behind, SIGTERM as
/// the wish to stop, the root folder, standard input and output closed. Call it in a program that does nothing else, before it
/// has threads. Errors: `session_held` where another process holds the session.
pub fn supervise(dir: &Path) -> Result<ExitRecord> {
    let dir = std::path::absolute(dir).map_err(|error| unavailable("find its folder", error))?;
    let folder = Folder::new(dir);
    let plan = folder.plan()?;
    let lock = take_lock(&folder)?;
    become_supervisor().map_err(|error| unavailable("set up its process", error))?;
    let (sender, events) = supervise::events();
    stop_on_signals(sender.clone()).map_err(|error| unavailable("listen for signals", error))?;
    supervise::run(&folder, lock, &plan, (sender, events), || {
        if let Err(error) = report_ready() {
            complain(&format!("nobody hears that the session is ready: {error}"));
        }
    })
}

/// The lock comes locked as standard input from the host; a supervisor started by hand takes it itself.
fn take_lock(folder: &Folder) -> Result<File> {
    let own = folder.open_lock()?;
    let inherited = || -> io::Result<Option<File>> {
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (theirs, ours) = (input.metadata()?, own.metadata()?);
        Ok((theirs.dev() == ours.dev() && theirs.ino() == ours.ino()).then_some(input))
    };
    let lock = match inherited() {
        Ok(Some(input)) => input,
        _ => own,
    };
    lock.try_lock().map_err(|error| {
        Error::conflict("session_held", format!("{} is held by another supervisor", folder.path().display()))
            .because(io::Error::from(error))
    })?;
    Ok(lock)
}

fn become_supervisor() -> io::Result<()> {
    match unistd::setsid() {
        // It led a group already: started by hand.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    prctl::set_child_subreaper(true)?;
    unistd::dup2_stdin(File::open("/dev/null")?)?;
    // The workspace and the host's folder may be removed while we live.
    std::env::set_current_dir("/")
}

fn stop_on_signals(events: SyncSender<Event>) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    // Whatever starts from here on inherits it; the agent's mask is emptied before the agent runs.
    signals.thread_block()?;
    thread::Builder::new()
        .name("gastown-signal".into())
        .stack_size(64 << 10)
        .spawn(move || while signals.wait().is_ok() && events.send(Event::Stop { grace: None }).is_ok() {})?;
    Ok(())
}

/// Says so on standard output and closes it, which is what the host waits for.
fn report_ready() -> io::Result<()> {
    let said = io::stdout().write_all(READY.as_bytes()).and_then(|()| io::stdout().flush());
    unistd::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    said
}
