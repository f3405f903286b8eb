use std::os::unix::fs::symlink;

use super::*;
use crate::git::SaveSpec;
use crate::model::Timestamp;

fn saving(workspace: &Path, parent: &Oid) -> SaveSpec {
    SaveSpec {
        workspace: workspace.to_owned(),
        parent: parent.clone(),
        branch: branch("gt/saved/gt-1.1"),
        message: "What Toast had not committed".into(),
        author: person(),
        time: Timestamp::from_micros(1_800_000_000_000_000),
    }
}

fn files(place: &Place, commit: &Oid) -> Vec<String> {
    let listed = git(place.mirror.path(), &["ls-tree", "-r", "--name-only", commit.as_str()]);
    listed.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_was_not_committed_is_kept_and_laid_into_the_next_workspace_as_it_was() {
    let place = Place::new().await;
    let tree = place.workspace("toast").await.path;
    let head = commit(&tree, "done.txt", "done\n");
    place.mirror.collect(&tree, &branch("gt/work/gt-1/toast.1")).await.unwrap();
    fs::write(tree.join("README.md"), "hello again\n").unwrap();
    fs::write(tree.join("new.txt"), "new\n").unwrap();
    fs::remove_file(tree.join("src/lib.rs")).unwrap();
    fs::write(tree.join(".gitignore"), "target/\n").unwrap();
    fs::create_dir(tree.join("target")).unwrap();
    fs::write(tree.join("target/big"), "built").unwrap();
    // It was also put into the agent's index, which nobody reads.
    git(&tree, &["add", "new.txt"]);

    let spec = saving(&tree, &head);
    let saved = place.mirror.save(&spec).await.unwrap().unwrap();
    assert_eq!(place.mirror.save(&spec).await.unwrap(), Some(saved.clone()), "a repeat makes the same commit");
    assert_eq!(place.mirror.branch(&spec.branch).await.unwrap(), Some(saved.clone()));
    assert_eq!(files(&place, &saved), [".gitignore", "README.md", "done.txt", "new.txt", "run.sh"]);
    assert_eq!(git(place.mirror.path(), &["rev-parse", &format!("{saved}^")]), head.as_str());
    place.mirror.fetch().await.unwrap();
    assert_eq!(place.mirror.branch(&spec.branch).await.unwrap(), Some(saved.clone()), "a fetch leaves it");
    let before = git(&tree, &["status", "--porcelain"]);

    let next = WorkspaceSpec { base: head.clone(), files: Some(saved), ..place.spec("jam") };
    place.mirror.prepare_workspace(&next).await.unwrap();
    assert_eq!(super::head(&next.path), head);
    assert_eq!(
        git(&next.path, &["status", "--porcelain"]),
        " M README.md\n D src/lib.rs\n?? .gitignore\n?? new.txt".trim()
    );
    assert!(before.contains("new.txt"), "{before}");
    assert_eq!(fs::read_to_string(next.path.join("new.txt")).unwrap(), "new\n");
    assert_eq!(fs::metadata(next.path.join("run.sh")).unwrap().permissions().mode() & 0o111, 0o111);
}

#[tokio::test]
async fn where_nothing_differs_or_nothing_is_there_nothing_is_kept() {
    let place = Place::new().await;
    let tree = place.workspace("toast").await.path;
    let spec = saving(&tree, &place.base);
    assert_eq!(place.mirror.save(&spec).await.unwrap(), None);
    assert_eq!(place.mirror.branch(&spec.branch).await.unwrap(), None);
    let nowhere = saving(&place.root().join("nowhere"), &place.base);
    assert_eq!(place.mirror.save(&nowhere).await.unwrap(), None);
}

#[tokio::test]
async fn a_hostile_workspace_gives_nothing_but_its_own_files() {
    let place = Place::new().await;
    let tree = place.workspace("toast").await.path;
    let secret = place.root().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "hunter2").unwrap();
    symlink(&secret, tree.join("folder")).unwrap();
    symlink(secret.join("key"), tree.join("file")).unwrap();
    nix::unistd::mkfifo(&tree.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // A configuration that would run a program, and attributes that ask for it.
    let trace = place.root().join("ran");
    let filter = format!("sh -c 'touch {}; cat'", text(&trace));
    git(&tree, &["config", "filter.evil.clean", &filter]);
    git(&tree, &["config", "core.fsmonitor", &filter]);
    fs::write(tree.join(".gitattributes"), "* filter=evil\n").unwrap();
    fs::write(tree.join("plain"), "plain\n").unwrap();

    let saved = place.mirror.save(&saving(&tree, &place.base)).await.unwrap().unwrap();
    let found = files(&place, &saved);
    assert_eq!(found, [".gitattributes", "README.md", "file", "folder", "plain", "run.sh", "src/lib.rs"]);
    let mode = git(place.mirror.path(), &["ls-tree", saved.as_str(), "file", "folder"]);
    assert!(mode.lines().all(|line| line.starts_with("120000 blob")), "links stay links: {mode}");
    assert!(!trace.exists(), "no program ran");
    let key = git(place.root(), &["hash-object", "secret/key"]);
    let there = git_command(place.mirror.path()).args(["cat-file", "-e", &key]).status().unwrap();
    assert!(!there.success(), "what a link points at was not read");
    git(place.mirror.path(), &["fsck"]);

    symlink(&tree, place.root().join("link")).unwrap();
    let linked = saving(&place.root().join("link"), &place.base);
    assert_eq!(place.mirror.save(&linked).await.unwrap_err().code(), "workspace_symlink");
}

#[tokio::test]
async fn too_much_is_refused_and_nothing_of_it_is_kept() {
    let place = Place::new().await;
    let tree = place.workspace("toast").await.path;
    fs::write(tree.join("large"), vec![7; 70_000]).unwrap();
    let options = GitOptions { collect_bytes_max: 65_536, ..GitOptions::from_env() };
    let runner = GitRunner::new(options).await.unwrap();
    let url = place.mirror.url().clone();
    let bounded = Mirror::open(runner, place.mirror.path(), &url).await.unwrap();
    let spec = saving(&tree, &place.base);
    let error = bounded.save(&spec).await.unwrap_err();
    assert_eq!((error.code(), error.fact("bytes_max")), ("workspace_too_large", Some("65536")));
    assert_eq!(place.mirror.branch(&spec.branch).await.unwrap(), None);
}

#[tokio::test]
async fn a_repository_inside_keeps_nothing_else_from_being_saved() {
    let place = Place::new().await;
    let tree = place.workspace("toast").await.path;
    let nested = tree.join("nested");
    git(&tree, &["init", "-q", text(&nested)]);
    commit(&nested, "inner", "inner");
    fs::create_dir(tree.join("odd")).unwrap();
    fs::write(tree.join("odd/.git"), "gitdir: /nowhere\n").unwrap();
    fs::write(tree.join("half"), "half\n").unwrap();
    let saved = place.mirror.save(&saving(&tree, &place.base)).await.unwrap().unwrap();
    assert_eq!(files(&place, &saved), ["README.md", "half", "run.sh", "src/lib.rs"]);
}
