use super::*;

#[tokio::test]
async fn a_workspace_is_ready_to_commit_and_push_without_any_setting() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    let tree = &spec.path;
    assert_eq!(git(tree, &["status", "--porcelain"]), "");
    assert_eq!(git(tree, &["symbolic-ref", "HEAD"]), spec.branch.full());
    assert_eq!(git(tree, &["rev-parse", "origin/main", "origin/HEAD", "v1"]), [place.base.as_str(); 3].join("\n"));
    assert_eq!(fs::metadata(tree.join("run.sh")).unwrap().permissions().mode() & 0o111, 0o111);
    git(tree, &["fsck"]);
    fs::write(tree.join("new"), "new").unwrap();
    git(tree, &["add", "."]);
    let mut plain = Command::new("git");
    plain.current_dir(tree).env("GIT_CONFIG_GLOBAL", "/dev/null").args(["commit", "-q", "-m", "new"]);
    assert!(plain.status().unwrap().success(), "the identity is set");
    assert_eq!(git(tree, &["log", "-1", "--format=%ae"]), "seed@example.com".replace("seed", "toast"));
    assert_eq!(git(tree, &["config", "user.name"]), "Toast \"T\"");
    git(tree, &["push", "-q"]);
    assert_eq!(place.mirror.branch(&spec.branch).await.unwrap(), Some(head(tree)));
    place.mirror.set_branch(&branch("gt/work/gt-2/bread.1"), &place.base, None).await.unwrap();
    git(tree, &["fetch", "-q"]);
    let known = git(tree, &["for-each-ref", "--format=%(refname)", "refs/remotes/origin/gt"]);
    assert_eq!(known, format!("refs/remotes/origin/{}", spec.branch), "other agents' work is not fetched");
}

#[tokio::test]
async fn twenty_workspaces_are_made_at_the_same_time() {
    let place = Place::new().await;
    let specs: Vec<_> = (0..20).map(|n| place.spec(&format!("a{n}"))).collect();
    for made in futures_util::future::join_all(specs.iter().map(|spec| place.mirror.prepare_workspace(spec))).await {
        made.unwrap();
    }
    for spec in &specs {
        assert_eq!(git(&spec.path, &["status", "--porcelain"]), "");
        assert_eq!(head(&spec.path), place.base);
    }
    assert_eq!(fs::read_dir(place.root().join("work")).unwrap().count(), 20, "nothing temporary is left");
}

#[tokio::test]
async fn the_same_workspace_may_be_asked_for_many_times_at_once() {
    let place = Place::new().await;
    let spec = place.spec("toast");
    let calls = (0..8).map(|_| place.mirror.prepare_workspace(&spec));
    for made in futures_util::future::join_all(calls).await {
        made.unwrap();
    }
    assert_eq!(fs::read_dir(place.root().join("work")).unwrap().count(), 1);
}

#[tokio::test]
async fn an_existing_workspace_keeps_what_the_agent_did() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    let done = commit(&spec.path, "new", "new");
    fs::write(spec.path.join("README.md"), "not committed").unwrap();
    place.mirror.prepare_workspace(&spec).await.unwrap();
    assert_eq!(head(&spec.path), done);
    assert_eq!(fs::read_to_string(spec.path.join("README.md")).unwrap(), "not committed");
    let other = WorkspaceSpec { branch: branch("gt/work/gt-2/toast.2"), ..spec.clone() };
    assert_eq!(place.mirror.prepare_workspace(&other).await.unwrap_err().code(), "workspace_occupied");
}

#[tokio::test]
async fn what_a_killed_maker_left_is_removed_and_what_a_living_one_makes_is_not() {
    let place = Place::new().await;
    let work = place.root().join("work");
    fs::create_dir_all(work.join(".toast.gt-1-1/.git")).unwrap();
    let living = crate::git::locked::LockedDir::create(&work, ".bread.gt-").unwrap();
    place.workspace("toast").await;
    place.workspace("bread").await;
    assert!(!work.join(".toast.gt-1-1").exists());
    assert!(living.path().exists());
}

#[tokio::test]
async fn strangers_files_and_links_are_refused() {
    let place = Place::new().await;
    let work = place.root().join("work");
    fs::create_dir_all(work.join("toast")).unwrap();
    fs::write(work.join("toast/mine"), "mine").unwrap();
    assert_eq!(place.mirror.prepare_workspace(&place.spec("toast")).await.unwrap_err().code(), "workspace_occupied");
    assert!(work.join("toast/mine").exists());
    fs::create_dir(work.join("empty")).unwrap();
    place.workspace("empty").await;

    fs::create_dir(place.root().join("target")).unwrap();
    std::os::unix::fs::symlink(place.root().join("target"), work.join("link")).unwrap();
    for path in [work.join("link"), work.join("link/deeper")] {
        let spec = WorkspaceSpec { path, ..place.spec("x") };
        assert_eq!(place.mirror.prepare_workspace(&spec).await.unwrap_err().code(), "workspace_symlink");
    }
    assert_eq!(fs::read_dir(place.root().join("target")).unwrap().count(), 0);
    for path in ["relative", "/tmp/../tmp/x", "/tmp/a\nb"] {
        let spec = WorkspaceSpec { path: path.into(), ..place.spec("x") };
        assert_eq!(place.mirror.prepare_workspace(&spec).await.unwrap_err().code(), "path_malformed");
    }
    let spec = WorkspaceSpec { base: Oid::new("1".repeat(40)).unwrap(), ..place.spec("x") };
    assert_eq!(place.mirror.prepare_workspace(&spec).await.unwrap_err().code(), "commit_missing");
    assert!(!spec.path.exists());
}

#[tokio::test]
async fn a_tree_that_multiplies_is_refused_before_a_file_is_written() {
    let place = Place::new().await;
    let seed = place.root().join("seed");
    let blob = git(&seed, &["hash-object", "-w", "README.md"]);
    let mut entry = ten(&|n| format!("100644 blob {blob}\tf{n}\n"));
    for _ in 0..9 {
        let tree = mktree(&seed, &entry);
        entry = ten(&|n| format!("040000 tree {tree}\td{n}\n"));
    }
    let bomb = git(&seed, &["commit-tree", "-m", "bomb", &mktree(&seed, &entry)]);
    git(&seed, &["push", "-q", text(&place.remote()), &format!("{bomb}:refs/heads/bomb")]);
    place.mirror.fetch().await.unwrap();
    let spec = WorkspaceSpec { base: Oid::new(bomb).unwrap(), ..place.spec("toast") };
    let error = place.mirror.prepare_workspace(&spec).await.unwrap_err();
    assert_eq!((error.code(), error.fact("files")), ("checkout_too_large", Some("10000000000")));
    assert_eq!(fs::read_dir(place.root().join("work")).unwrap().count(), 0);
}

fn ten(line: &dyn Fn(u32) -> String) -> String {
    (0..10).map(line).collect::<Vec<_>>().concat()
}

fn mktree(folder: &Path, entries: &str) -> String {
    let list = folder.join("../entries");
    fs::write(&list, entries).unwrap();
    let output = git_command(folder).arg("mktree").stdin(fs::File::open(list).unwrap()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_scratch_tree_is_exactly_the_commit() {
    let place = Place::new().await;
    let path = place.root().join("scratch/one");
    place.mirror.checkout_scratch(&place.base, &path).await.unwrap();
    place.mirror.checkout_scratch(&place.base, &path).await.unwrap();
    assert_eq!(head(&path), place.base);
    assert_eq!(git(&path, &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    assert_eq!((git(&path, &["status", "--porcelain"]), git(&path, &["remote"])), (String::new(), String::new()));
    place.mirror.remove_workspace(&path).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn removing_tolerates_read_only_folders_and_follows_no_link() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    let outside = place.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "precious").unwrap();
    std::os::unix::fs::symlink(&outside, spec.path.join("link")).unwrap();
    fs::create_dir_all(spec.path.join("cache/deep")).unwrap();
    fs::write(spec.path.join("cache/deep/file"), "x").unwrap();
    for folder in ["cache/deep", "cache"] {
        fs::set_permissions(spec.path.join(folder), fs::Permissions::from_mode(0o500)).unwrap();
    }
    fs::set_permissions(&spec.path, fs::Permissions::from_mode(0o500)).unwrap();
    place.mirror.remove_workspace(&spec.path).await.unwrap();
    place.mirror.remove_workspace(&spec.path).await.unwrap();
    assert!(!spec.path.exists() && outside.join("precious").exists());
    assert_eq!(fs::read_dir(place.root().join("work")).unwrap().count(), 0);
    std::os::unix::fs::symlink(&outside, &spec.path).unwrap();
    place.mirror.remove_workspace(&spec.path).await.unwrap();
    assert!(outside.join("precious").exists() && !spec.path.exists());
}
