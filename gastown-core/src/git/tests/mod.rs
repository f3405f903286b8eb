//! Tests with the real git program, in temporary folders.

mod collect;
mod hostile;
mod inspect;
mod merge;
mod mirror;
mod publish;
mod runner;
mod save;
mod workspace;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::model::Oid;

/// A remote with one commit on `main`, and a mirror of it.
struct Place {
    folder: TempDir,
    runner: GitRunner,
    mirror: Mirror,
    base: Oid,
}

impl Place {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        let seed = seed(root);
        git(root, &["clone", "-q", "--bare", text(&seed), text(&root.join("remote.git"))]);
        let runner = GitRunner::new(GitOptions::from_env()).await.unwrap();
        let url = RemoteUrl::new(text(&root.join("remote.git"))).unwrap();
        let mirror = Mirror::open(runner.clone(), root.join("mirror.git"), &url).await.unwrap();
        mirror.fetch().await.unwrap();
        let base = mirror.branch(&branch("main")).await.unwrap().unwrap();
        Self { folder, runner, mirror, base }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn remote(&self) -> PathBuf {
        self.root().join("remote.git")
    }

    /// A workspace for `gt/work/gt-1/<name>.1`, made.
    async fn workspace(&self, name: &str) -> WorkspaceSpec {
        let spec = self.spec(name);
        self.mirror.prepare_workspace(&spec).await.unwrap();
        spec
    }

    fn spec(&self, name: &str) -> WorkspaceSpec {
        WorkspaceSpec {
            path: self.root().join("work").join(name),
            branch: branch(&format!("gt/work/gt-1/{name}.1")),
            base: self.base.clone(),
            author: person(),
            upstream: Some(branch("main")),
            files: None,
        }
    }
}

fn seed(root: &Path) -> PathBuf {
    let seed = root.join("seed");
    git(root, &["init", "-q", "-b", "main", text(&seed)]);
    fs::create_dir(seed.join("src")).unwrap();
    fs::write(seed.join("README.md"), "hello\n").unwrap();
    fs::write(seed.join("src/lib.rs"), "one\ntwo\nthree\nfour\nfive\nsix\n").unwrap();
    fs::write(seed.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(seed.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    git(&seed, &["add", "."]);
    git(&seed, &["commit", "-q", "-m", "begin"]);
    git(&seed, &["tag", "v1"]);
    seed
}

fn person() -> Person {
    Person { name: "Toast \"T\"".into(), email: "toast@example.com".into() }
}

fn branch(name: &str) -> BranchName {
    BranchName::new(name).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Git as a person or an agent runs it.
fn git_command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Seed").env(format!("GIT_{role}_EMAIL"), "seed@example.com");
    }
    command
}

fn git<A: AsRef<OsStr>>(folder: &Path, args: &[A]) -> String {
    let output = git_command(folder).args(args).output().unwrap();
    let shown: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
    assert!(output.status.success(), "git {shown:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(folder: &Path, file: &str, content: &str) -> Oid {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", file]);
    head(folder)
}

fn head(folder: &Path) -> Oid {
    Oid::new(git(folder, &["rev-parse", "HEAD"])).unwrap()
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
