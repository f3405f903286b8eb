use super::*;
use crate::model::Timestamp;

/// Configuration by which git runs programs, every one of them leaving a trace.
fn trap(config: &Path, trace: &Path) {
    let program = trace.with_extension("sh");
    script(&program, &format!("touch {}; exit 1", trace.display()));
    let program = program.display();
    let text = format!(
        "[core]\n fsmonitor = {program}\n hooksPath = {hooks}\n sshCommand = {program}\n gitProxy = {program}\n\
         pager = {program}\n editor = {program}\n askPass = {program}\n alternateRefsCommand = {program}\n\
         [filter \"evil\"]\n smudge = {program}\n clean = {program}\n process = {program}\n required = true\n\
         [merge \"evil\"]\n driver = {program} %O %A %B\n[diff]\n external = {program}\n\
         [diff \"evil\"]\n textconv = {program}\n command = {program}\n\
         [credential]\n helper = {program}\n[uploadpack]\n packObjectsHook = {program}\n\
         [protocol \"ext\"]\n allow = always\n[url \"ext::{program} \"]\n insteadOf = /\n",
        hooks = config.parent().unwrap().join("hooks").display(),
    );
    let mut all = fs::read_to_string(config).unwrap();
    all.push_str(&text);
    fs::write(config, all).unwrap();
    let hooks = config.parent().unwrap().join("hooks");
    fs::create_dir_all(&hooks).unwrap();
    for hook in ["post-checkout", "pre-push", "pre-commit", "reference-transaction", "post-index-change", "pre-auto-gc"]
    {
        script(&hooks.join(hook), &format!("touch {}; exit 1", trace.display()));
    }
}

#[tokio::test]
async fn a_trapped_workspace_runs_nothing_in_any_of_our_operations() {
    let place = Place::new().await;
    let trace = place.root().join("trace");
    let spec = place.workspace("toast").await;
    let tree = &spec.path;
    fs::write(tree.join(".gitattributes"), "* filter=evil merge=evil diff=evil text eol=lf\n").unwrap();
    let done = commit(tree, "new", "new");
    trap(&tree.join(".git/config"), &trace);
    fs::create_dir_all(tree.join(".git/info")).unwrap();
    fs::write(tree.join(".git/info/attributes"), "* filter=evil merge=evil\n").unwrap();

    let mirror = &place.mirror;
    mirror.prepare_workspace(&spec).await.unwrap();
    assert_eq!(mirror.collect(tree, &spec.branch).await.unwrap(), Some(done.clone()));
    let other = commit(&place.root().join("seed"), "src/other.rs", "other");
    git(&place.root().join("seed"), &["push", "-q", text(&place.remote()), "main"]);
    mirror.fetch().await.unwrap();
    let spec_of_merge = MergeSpec {
        target: other.clone(),
        head: done.clone(),
        message: "merge".into(),
        committer: person(),
        time: Timestamp::from_micros(1_700_000_000_000_000),
    };
    let MergeOutcome::Merged { commit } = mirror.merge(&spec_of_merge).await.unwrap() else { panic!("no merge") };
    mirror.checkout_scratch(&commit, place.root().join("scratch")).await.unwrap();
    assert_eq!(mirror.publish(&branch("main"), &commit, Some(&other)).await.unwrap(), PublishOutcome::Published);
    mirror.prepare_workspace(&WorkspaceSpec { base: commit, ..place.spec("bread") }).await.unwrap();
    mirror.remove_workspace(tree).await.unwrap();
    assert!(!trace.exists(), "something ran");
}

#[tokio::test]
async fn the_trap_of_these_tests_does_spring() {
    let place = Place::new().await;
    let trace = place.root().join("trace");
    let spec = place.workspace("toast").await;
    trap(&spec.path.join(".git/config"), &trace);
    let _ = git_command(&spec.path).args(["status"]).output().unwrap();
    assert!(trace.exists());
}

#[tokio::test]
async fn a_local_remote_with_traps_runs_nothing_when_it_is_inspected() {
    let place = Place::new().await;
    let trace = place.root().join("trace");
    let seed = place.root().join("seed");
    trap(&seed.join(".git/config"), &trace);
    let url = RemoteUrl::new(text(&seed)).unwrap();
    let error = inspect_remote(&place.runner, &url, &branch("main")).await.unwrap_err();
    assert_eq!(error.code(), "branch_checked_out");
    assert!(!trace.exists(), "something ran");
}

#[tokio::test]
async fn a_repository_turned_into_links_pipes_or_borrowed_objects_is_refused() {
    let place = Place::new().await;
    // Commits of another rig that this agent must not reach through us.
    let secret = commit(&place.root().join("seed"), "secret", "secret");
    let other = place.root().join("seed/.git");
    let with = async |name: &str, change: &dyn Fn(&Path, &BranchName)| {
        let spec = place.workspace(name).await;
        commit(&spec.path, "new", name);
        change(&spec.path.join(".git"), &spec.branch);
        let result = place.mirror.collect(&spec.path, &spec.branch).await;
        assert_eq!(place.mirror.branch(&spec.branch).await.unwrap(), None, "{name}");
        result.unwrap_err().code().to_owned()
    };
    let link = |target: &Path, at: PathBuf| {
        fs::remove_dir_all(&at).or_else(|_| fs::remove_file(&at)).unwrap();
        std::os::unix::fs::symlink(target, at).unwrap();
    };
    let point = |git: &Path, branch: &BranchName| {
        fs::write(git.join(branch.full()), format!("{secret}\n")).unwrap();
    };
    let code = with("lender", &|git, branch| {
        point(git, branch);
        fs::write(git.join("objects/info/alternates"), format!("{}\n", other.join("objects").display())).unwrap();
    })
    .await;
    assert_eq!(code, "objects_missing");
    let code = with("linked-objects", &|git, branch| {
        point(git, branch);
        link(&other.join("objects"), git.join("objects"));
    })
    .await;
    assert_eq!(code, "workspace_tampered");
    let code = with("linked-git", &|git, _| link(&other, git.to_owned())).await;
    assert_eq!(code, "workspace_tampered");
    let code = with("linked-ref", &|git, branch| link(&other.join("refs/heads/main"), git.join(branch.full()))).await;
    assert_eq!(code, "workspace_tampered");
    let code = with("piped-ref", &|git, branch| {
        fs::remove_file(git.join(branch.full())).unwrap();
        assert!(Command::new("mkfifo").arg(git.join(branch.full())).status().unwrap().success());
    })
    .await;
    assert_eq!(code, "workspace_tampered");
    let code = with("piped-object", &|git, branch| {
        let oid = fs::read_to_string(git.join(branch.full())).unwrap();
        let file = git.join("objects").join(&oid[..2]).join(oid[2..].trim());
        fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    })
    .await;
    assert_eq!(code, "workspace_tampered");
    let code =
        with("word-ref", &|git, branch| fs::write(git.join(branch.full()), "ref: refs/heads/x\n").unwrap()).await;
    assert_eq!(code, "workspace_tampered");
    let code = with("pack", &|git, branch| {
        point(git, branch);
        fs::write(git.join(format!("objects/pack/pack-{}.pack", "1".repeat(40))), "PACK of lies").unwrap();
    })
    .await;
    assert_eq!(code, "objects_missing");
}
