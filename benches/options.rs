//! How a benchmark is run.

use std::path::PathBuf;

/// How a benchmark is run.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Options {
    /// A few turns of a few operations: shows that it works, measures nothing.
    pub quick: bool,
    /// Where the figures are written as JSON.
    pub json: Option<PathBuf>,
    /// Towns of these sizes, where the benchmark knows sizes.
    pub sizes: Vec<usize>,
    /// Only cases whose name holds this.
    pub filter: Option<String>,
    /// Only ours, for a look with a profiler.
    pub is_alone: bool,
    /// Starts a private server of Postgres where none is named.
    pub has_server: bool,
    /// A run within a run: under conditions that a whole process must have.
    pub is_inner: bool,
    /// The folder for towns and repositories; on the disk that is to be measured.
    pub dir: PathBuf,
}

impl Options {
    /// A brief run with its files in `dir`.
    pub fn quick(dir: impl Into<PathBuf>) -> Self {
        Self {
            quick: true,
            json: None,
            sizes: Vec::new(),
            filter: None,
            is_alone: false,
            has_server: false,
            is_inner: false,
            dir: dir.into(),
        }
    }

    /// What the command line asks for: `[--quick] [--alone] [--postgres] [--json FILE] [SIZE…] [FILTER]`; files go to
    /// `dir`.
    ///
    /// # Errors
    /// A sentence about what is wrong with the arguments.
    pub fn from_args(args: impl IntoIterator<Item = String>, dir: impl Into<PathBuf>) -> Result<Self, String> {
        let mut options = Self {
            quick: false,
            json: None,
            sizes: Vec::new(),
            filter: None,
            is_alone: false,
            has_server: false,
            is_inner: false,
            dir: dir.into(),
        };
        let mut args = args.into_iter().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--alone" => options.is_alone = true,
                "--postgres" => options.has_server = true,
                "--inner" => options.is_inner = true,
                "--json" => options.json = Some(args.next().ok_or("--json wants a file")?.into()),
                flag if flag.starts_with('-') => {
                    return Err(format!(
                        "there is no option {flag}; usage: [--quick] [--alone] [--postgres] [--json FILE] [SIZE…] [FILTER]"
                    ));
                }
                size if size.parse::<usize>().is_ok() => options.sizes.extend(size.parse::<usize>()),
                _ => options.filter = Some(arg),
            }
        }
        Ok(options)
    }

    /// Whether the case of that name is to be run.
    pub fn wants(&self, case: &str) -> bool {
        self.filter.as_deref().is_none_or(|part| case.contains(part))
    }

    /// The number for a full run, or the one for a brief run.
    pub fn pick(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}
