//! Merges and publications: ours beside what the git program needs for the same.
//!
//! Every contender works in a copy of the same mirror, with the same configuration (objects and refs are made
//! durable), and merges heads that it has not merged before.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use gastown_benches::{Contender, Goal, Options, Report, Shape, Turn, git, interleave, origin};
use gastown_core::git::{
    BranchName, GitOptions, GitRunner, MergeOutcome, MergeSpec, Mirror, Person, PublishOutcome, RemoteUrl,
};
use gastown_core::model::{Oid, Timestamp};
use tokio::runtime::Runtime;

pub fn main() -> Result<(), String> {
    run(&Options::from_args(std::env::args(), env!("CARGO_TARGET_TMPDIR"))?)
}

pub fn run(options: &Options) -> Result<(), String> {
    let mut report = Report::new("merge", options);
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let tokio = tokio.worker_threads(2).enable_all().build().map_err(|error| error.to_string())?;
    let shapes: &[Shape] = if options.quick { &[Shape::SMALL] } else { &[Shape::SMALL, Shape::LARGE] };
    for shape in shapes {
        let turns = options.pick(9, 1);
        let count = options.pick(12, 2);
        let dir = tempfile::tempdir_in(&options.dir).expect("a folder can be made");
        let place = Place::make(&tokio, dir.path(), *shape, turns * count);
        let name = format!("merge a clean branch, {}", shape.name);
        if options.wants(&name) {
            report.case(&name, Goal::Time, &merges(&tokio, &place, turns, count));
        }
        let name = format!("publish by compare-and-swap, {}", shape.name);
        if options.wants(&name) {
            report.case(&name, Goal::Time, &publications(&tokio, &place, turns, count));
        }
    }
    report.finish()
}

fn merges(tokio: &Runtime, place: &Place, turns: usize, count: usize) -> Vec<gastown_benches::Figures> {
    let (one, two) = (place.copy("mirror.git", "one.git"), place.copy("mirror.git", "two.git"));
    let many = place.copy("mirror.git", "many.git");
    interleave(
        turns,
        vec![
            Contender::new("town's mirror: merge and commit", |turn| {
                Turn::of(count, |n| {
                    let spec = place.spec(turn * count + n);
                    let outcome = tokio.block_on(place.mirror.merge(&spec)).expect("a merge is computed");
                    assert!(matches!(outcome, MergeOutcome::Merged { .. }), "{outcome:?}");
                })
            }),
            Contender::new("git merge-tree --write-tree", |turn| {
                Turn::of(count, |n| {
                    place.merge_tree(&one, turn * count + n);
                })
            }),
            Contender::new("git merge-tree, git commit-tree", |turn| {
                Turn::of(count, |n| {
                    let head = &place.heads[turn * count + n];
                    let tree = place.merge_tree(&two, turn * count + n);
                    git(&two, &["commit-tree", &tree, "-p", place.target.as_str(), "-p", head.as_str(), "-m", "Merge"]);
                })
            }),
            Contender::new("git merge-tree --stdin, all in one process", |turn| {
                merge_all(&many, &place.target, &place.heads[turn * count..][..count])
            }),
        ],
    )
}

fn publications(tokio: &Runtime, place: &Place, turns: usize, count: usize) -> Vec<gastown_benches::Figures> {
    let bare = place.copy("mirror.git", "push.git");
    let remote = place.copy("origin.git", "pushed.git");
    let remote = remote.to_str().expect("UTF-8");
    let main = BranchName::new("main").expect("a name");
    interleave(
        turns,
        vec![
            Contender::new("town's mirror: publish and read back", |turn| {
                Turn::of(count, |n| {
                    let (from, to) = place.step(turn * count + n);
                    let outcome =
                        tokio.block_on(place.mirror.publish(&main, to, Some(from))).expect("a push is answered");
                    assert_eq!(outcome, PublishOutcome::Published);
                })
            }),
            Contender::new("git push --force-with-lease", |turn| {
                Turn::of(count, |n| {
                    let (from, to) = place.step(turn * count + n);
                    let lease = format!("--force-with-lease=refs/heads/main:{from}");
                    git(&bare, &["push", "-q", &lease, remote, &format!("{to}:refs/heads/main")]);
                })
            }),
        ],
    )
}

/// A repository, a mirror of it, and commits to work with.
struct Place {
    dir: PathBuf,
    mirror: Mirror,
    base: Oid,
    target: Oid,
    heads: Vec<Oid>,
    chain: Vec<Oid>,
}

impl Place {
    fn make(tokio: &Runtime, dir: &Path, shape: Shape, count: usize) -> Self {
        let remote = origin(dir, shape);
        let base = oid(&remote, "main");
        import(&remote, &base, shape, count);
        let url = RemoteUrl::new(remote.to_str().expect("UTF-8")).expect("an absolute path");
        let mirror = tokio.block_on(async {
            let runner = GitRunner::new(GitOptions::from_env()).await.expect("git is there");
            let mirror = Mirror::open(runner, dir.join("mirror.git"), &url).await.expect("a mirror is made");
            mirror.fetch().await.expect("the remote is there");
            mirror
        });
        let all = |family: &str| (0..count).map(|n| oid(&remote, &format!("{family}/{n}"))).collect();
        let (target, heads, chain) = (oid(&remote, "target"), all("topic"), all("chain"));
        Self { dir: dir.to_owned(), mirror, base, target, heads, chain }
    }

    fn copy(&self, from: &str, to: &str) -> PathBuf {
        let to = self.dir.join(to);
        let done = Command::new("cp").arg("-a").arg(self.dir.join(from)).arg(&to).status().expect("cp is there");
        assert!(done.success(), "{from} can be copied");
        to
    }

    fn spec(&self, n: usize) -> MergeSpec {
        MergeSpec {
            target: self.target.clone(),
            head: self.heads[n].clone(),
            message: format!("Merge topic {n}"),
            committer: Person { name: "Bench".to_owned(), email: "bench@example.org".to_owned() },
            time: Timestamp::from_micros(1_700_000_000_000_000),
        }
    }

    fn merge_tree(&self, repository: &Path, n: usize) -> String {
        git(repository, &["merge-tree", "--write-tree", self.target.as_str(), self.heads[n].as_str()])
    }

    /// From where to where the branch moves.
    fn step(&self, n: usize) -> (&Oid, &Oid) {
        let from = if n == 0 { &self.base } else { &self.chain[n - 1] };
        (from, &self.chain[n])
    }
}

fn oid(repository: &Path, name: &str) -> Oid {
    Oid::new(git(repository, &["rev-parse", &format!("refs/heads/{name}")])).expect("git prints ids")
}

/// Makes `target`, which changes one file, `topic/n`, which each change another, and `chain/n`, each a child of the one
/// before.
fn import(repository: &Path, base: &Oid, shape: Shape, count: usize) {
    let mut stream = String::new();
    let mut commit = |branch: &str, from: &str, file: usize, text: &str| {
        let path = format!("part{:02}/file{file:04}.txt", file / 30);
        let _ = write!(
            stream,
            "commit refs/heads/{branch}\ncommitter Bench <bench@example.org> 1700000000 +0000\ndata 7\nChange\n\n\
             from {from}\nM 100644 inline {path}\ndata {}\n{text}\n",
            text.len()
        );
    };
    commit("target", base.as_str(), 0, "target\n");
    for n in 0..count {
        let file = 1 + n % (shape.files - 1);
        commit(&format!("topic/{n}"), base.as_str(), file, &format!("topic {n}\n"));
        let parent = if n == 0 { base.to_string() } else { format!("refs/heads/chain/{}", n - 1) };
        commit(&format!("chain/{n}"), &parent, file, &format!("chain {n}\n"));
    }
    let mut git = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is there");
    git.stdin.take().expect("it was piped").write_all(stream.as_bytes()).expect("git reads");
    assert!(git.wait().expect("git ends").success(), "the commits can be made");
}

/// Merges the heads in one process; it answers all of them at its end.
fn merge_all(repository: &Path, target: &Oid, heads: &[Oid]) -> Turn {
    let begun = Instant::now();
    let mut pairs = String::new();
    for head in heads {
        let _ = writeln!(pairs, "{target} {head}");
    }
    let mut git = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["merge-tree", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is there");
    git.stdin.take().expect("it was piped").write_all(pairs.as_bytes()).expect("git reads");
    let output = git.wait_with_output().expect("git ends").stdout;
    // `1 NUL tree NUL NUL` for each clean merge.
    assert_eq!(output.split(|byte| *byte == 0).filter(|field| *field == b"1").count(), heads.len());
    let all = begun.elapsed();
    Turn { each: vec![all / u32::try_from(heads.len()).expect("few heads"); heads.len()], all, writer: None }
}
