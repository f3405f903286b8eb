//! The agent of the benchmarks: `bench-agent <socket>` says its bead's id there as soon as it runs, and stays until
//! the other side hangs up.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn main() -> std::io::Result<()> {
    let socket = std::env::args_os().nth(1).unwrap_or_default();
    let mut stream = UnixStream::connect(socket)?;
    #[allow(clippy::disallowed_methods, reason = "an agent is told its bead there")]
    let bead = std::env::var("GASTOWN_BEAD").unwrap_or_default();
    stream.write_all(format!("{bead}\n").as_bytes())?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}
