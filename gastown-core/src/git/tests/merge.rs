use super::*;
use crate::model::Timestamp;

fn spec(target: &Oid, head: &Oid) -> MergeSpec {
    MergeSpec {
        target: target.clone(),
        head: head.clone(),
        message: "merge gt-1".into(),
        committer: person(),
        time: Timestamp::from_micros(1_700_000_000_999_999),
    }
}

/// Two commits on top of one: each changes the working tree by its function.
async fn fork(ours: &dyn Fn(&Path), theirs: &dyn Fn(&Path)) -> (Place, Oid, Oid) {
    let place = Place::new().await;
    let seed = place.root().join("seed");
    let lines = (0..40).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
    commit(&seed, "src/long.rs", &lines);
    git(&seed, &["branch", "side"]);
    let mut heads = Vec::new();
    for (name, change) in [("main", ours), ("side", theirs)] {
        git(&seed, &["checkout", "-q", name]);
        change(&seed);
        git(&seed, &["add", "-A"]);
        git(&seed, &["commit", "-q", "-m", name]);
        heads.push(head(&seed));
    }
    git(&seed, &["push", "-q", text(&place.remote()), "main", "side"]);
    place.mirror.fetch().await.unwrap();
    let theirs = heads.pop().unwrap();
    (place, heads.pop().unwrap(), theirs)
}

/// Merges both ways and compares with git's own merge of trees.
async fn compare(ours: &dyn Fn(&Path), theirs: &dyn Fn(&Path)) -> MergeOutcome {
    let (place, target, side) = fork(ours, theirs).await;
    let outcome = place.mirror.merge(&spec(&target, &side)).await.unwrap();
    assert_eq!(place.mirror.merge(&spec(&target, &side)).await.unwrap(), outcome, "a repeat gives the same");
    let output = git_command(place.mirror.path())
        .args(["merge-tree", "--write-tree", "--name-only", "--no-messages", target.as_str(), side.as_str()])
        .output()
        .unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let mut lines = answer.lines();
    let tree = lines.next().unwrap();
    match &outcome {
        MergeOutcome::Merged { commit } => {
            assert!(output.status.success(), "git sees a conflict");
            assert_eq!(git(place.mirror.path(), &["rev-parse", &format!("{commit}^{{tree}}")]), tree);
            let parents = git(place.mirror.path(), &["log", "-1", "--format=%P %ae %ct %s", commit.as_str()]);
            assert_eq!(parents, format!("{target} {side} toast@example.com 1700000000 merge gt-1"));
        }
        MergeOutcome::Conflict { files } => {
            assert_eq!(output.status.code(), Some(1), "git sees no conflict");
            assert_eq!(files.iter().map(String::as_str).collect::<Vec<_>>(), lines.collect::<Vec<_>>());
        }
        MergeOutcome::AlreadyContained => panic!("both sides have a commit of their own"),
    }
    outcome
}

fn edit(file: &'static str, from: &'static str, to: &'static str) -> impl Fn(&Path) {
    move |tree| {
        let text = fs::read_to_string(tree.join(file)).unwrap();
        assert!(text.contains(from));
        fs::write(tree.join(file), text.replace(from, to)).unwrap();
    }
}

fn rename(from: &'static str, to: &'static str) -> impl Fn(&Path) {
    move |tree| fs::rename(tree.join(from), tree.join(to)).unwrap()
}

fn delete(file: &'static str) -> impl Fn(&Path) {
    move |tree| fs::remove_file(tree.join(file)).unwrap()
}

fn is_conflict(outcome: &MergeOutcome, file: &str) -> bool {
    matches!(outcome, MergeOutcome::Conflict { files } if files.iter().any(|found| found == file))
}

#[tokio::test]
async fn clean_merges_give_the_tree_that_git_gives() {
    let long = "src/long.rs";
    for outcome in [
        compare(&edit(long, "line 3\n", "LINE 3\n"), &edit(long, "line 30\n", "LINE 30\n")).await,
        compare(&edit("README.md", "hello", "bye"), &|tree| fs::write(tree.join("new"), "new").unwrap()).await,
        compare(&rename(long, "src/short.rs"), &edit(long, "line 5\n", "LINE 5\n")).await,
        compare(&edit(long, "line 5\n", "LINE 5\n"), &rename(long, "moved.rs")).await,
        compare(&delete("README.md"), &edit(long, "line 5\n", "LINE 5\n")).await,
        compare(&delete("README.md"), &delete("README.md")).await,
        compare(&edit(long, "line 7\n", "same\n"), &edit(long, "line 7\n", "same\n")).await,
    ] {
        assert!(matches!(outcome, MergeOutcome::Merged { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn conflicts_name_the_files_that_git_names() {
    let long = "src/long.rs";
    let outcome = compare(&edit(long, "line 7\n", "ours\n"), &edit(long, "line 7\n", "theirs\n")).await;
    assert!(is_conflict(&outcome, long));
    let outcome = compare(&delete(long), &edit(long, "line 7\n", "theirs\n")).await;
    assert!(is_conflict(&outcome, long));
    let outcome = compare(&edit(long, "line 7\n", "ours\n"), &delete(long)).await;
    assert!(is_conflict(&outcome, long));
    let add = |text: &'static str| move |tree: &Path| fs::write(tree.join("new"), text).unwrap();
    assert!(is_conflict(&compare(&add("ours\n"), &add("theirs\n")).await, "new"));
}

#[tokio::test]
async fn what_is_contained_unrelated_or_missing_is_told_apart() {
    let place = Place::new().await;
    let seed = place.root().join("seed");
    let next = commit(&seed, "b", "b");
    git(&seed, &["checkout", "-q", "--orphan", "alone"]);
    let alone = commit(&seed, "c", "c");
    git(&seed, &["push", "-q", text(&place.remote()), "main", "alone"]);
    place.mirror.fetch().await.unwrap();
    let mirror = &place.mirror;
    assert_eq!(mirror.merge(&spec(&next, &place.base)).await.unwrap(), MergeOutcome::AlreadyContained);
    // Landing always makes a merge commit, even where git would only move the branch.
    let MergeOutcome::Merged { commit } = mirror.merge(&spec(&place.base, &next)).await.unwrap() else { panic!() };
    assert_eq!(git(mirror.path(), &["log", "-1", "--format=%P", commit.as_str()]), format!("{} {next}", place.base));
    assert_eq!(mirror.merge(&spec(&next, &alone)).await.unwrap_err().code(), "histories_unrelated");
    let nobody = Oid::new("1".repeat(40)).unwrap();
    assert_eq!(mirror.merge(&spec(&next, &nobody)).await.unwrap_err().code(), "commit_missing");
    let mut odd = spec(&place.base, &next);
    odd.committer.name = String::new();
    assert_eq!(mirror.merge(&odd).await.unwrap_err().code(), "person_malformed");
    let wide = Oid::new("1".repeat(64)).unwrap();
    assert_eq!(mirror.merge(&spec(&next, &wide)).await.unwrap_err().code(), "object_format_unsupported");
}
