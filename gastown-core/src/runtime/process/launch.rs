//! Starts the agent's program: alone in its session and process group, with three descriptors and its own environment.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{self, Pid};

use super::folder::Plan;

/// The mode in which our program sets up an agent's process and then becomes the agent.
pub(super) const EXEC_MODE: &str = "session-exec";
/// How much is read of why a program did not start.
const REASON_BYTES_MAX: u64 = 4096;

/// Starts the agent; the error is the reason for people.
pub(super) fn launch(plan: &Plan, output: PipeWriter) -> Result<Pid, String> {
    if !plan.workspace.is_dir() {
        return Err(format!("workspace {} is not a folder", plan.workspace.display()));
    }
    let name = plan.command.first().ok_or("the command is empty")?;
    let program = find_program(name, plan)?;
    let errors = output.try_clone().map_err(|error| format!("no pipe: {error}"))?;
    match &plan.program {
        Some((path, args)) => through_exec_mode(plan, (path, args), &program, output, errors),
        None => directly(plan, name, &program, output, errors),
    }
}

/// Lets our own program lead the new session and replace itself: nothing runs between fork and exec in this process.
fn through_exec_mode(
    plan: &Plan,
    (path, args): (&Path, &[String]),
    program: &Path,
    output: PipeWriter,
    errors: PipeWriter,
) -> Result<Pid, String> {
    let (mut report, reporter) = io::pipe().map_err(|error| format!("no pipe: {error}"))?;
    let mut child = Command::new(path)
        .args(args)
        .arg(EXEC_MODE)
        .arg(Pid::this().to_string())
        .arg(program)
        .args(&plan.command)
        .env_clear()
        .envs(&plan.env)
        .current_dir(&plan.workspace)
        .stdin(Stdio::from(reporter))
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", path.display()))?;
    let mut reason = String::new();
    let read = report.by_ref().take(REASON_BYTES_MAX).read_to_string(&mut reason);
    match read {
        Ok(0) => Ok(pid_of(&child)),
        outcome => {
            let _ = child.kill();
            let status = child.wait();
            Err(match outcome {
                Ok(_) => reason,
                Err(error) => format!("no report from {}: {error} ({status:?})", path.display()),
            })
        }
    }
}

fn directly(plan: &Plan, name: &str, program: &Path, output: PipeWriter, errors: PipeWriter) -> Result<Pid, String> {
    Command::new(program)
        .arg0(name)
        .args(&plan.command[1..])
        .env_clear()
        .envs(&plan.env)
        .current_dir(&plan.workspace)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors))
        .spawn()
        .map(|child| pid_of(&child))
        .map_err(|error| format!("cannot run {}: {error}", program.display()))
}

/// The child is waited for by its id, so that what it left can be killed while the id is still its own.
fn pid_of(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id is a positive i32"))
}

/// The program's path, by the session's own `PATH`, so that nothing is searched between fork and exec.
fn find_program(name: &str, plan: &Plan) -> Result<PathBuf, String> {
    let runs = |path: &Path| fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        let path = plan.workspace.join(name);
        return if runs(&path) { Ok(path) } else { Err(format!("{} is not a program", path.display())) };
    }
    let path = plan.env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| runs(path))
        .ok_or_else(|| format!("program {name} is not on PATH"))
}

/// Becomes the agent: `<supervisor's pid> <program> <name> <arguments>…`; returns only if that fails.
///
/// The process leads a session of its own, dies with the supervisor, and keeps no descriptor but the standard ones.
/// Standard input is the pipe for the reason of a failure; it closes when the program runs.
pub(super) fn become_agent(args: &[OsString]) -> io::Error {
    let mut report = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => File::from(fd),
        Err(error) => return error,
    };
    let error = match set_up_and_exec(args) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let program = args.get(1).map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    match report.write_all(format!("cannot run {program}: {error}").as_bytes()) {
        Ok(()) => error,
        Err(unreported) => unreported,
    }
}

fn set_up_and_exec(args: &[OsString]) -> io::Result<std::convert::Infallible> {
    let [parent, program, name, rest @ ..] = args else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "arguments are missing"));
    };
    unistd::setsid()?;
    // The supervisor takes its signals by waiting for them; the agent must get them.
    SigSet::empty().thread_set_mask()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The supervisor may have died before its death was ours.
    if parent.to_str().and_then(|pid| pid.parse().ok()) != Some(Pid::parent().as_raw()) {
        return Err(io::Error::other("the supervisor is gone"));
    }
    unistd::dup2_stdin(File::open("/dev/null")?)?;
    close_inherited()?;
    Err(Command::new(program).arg0(name).args(rest).exec())
}

/// Closes what a host left open on exec by mistake. Ours close by themselves, the report with them.
fn close_inherited() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(number) = number.filter(|number| *number > 2)
            && fs::read_to_string(entry.path()).is_ok_and(|info| !closes_on_exec(&info))
        {
            inherited.push(number);
        }
    }
    for number in inherited {
        unistd::close(number)?;
    }
    Ok(())
}

/// Reads `flags: 02100000` (octal) of a descriptor.
fn closes_on_exec(info: &str) -> bool {
    const O_CLOEXEC: u32 = 0o2_000_000;
    info.lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & O_CLOEXEC != 0)
}
