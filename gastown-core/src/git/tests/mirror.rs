use super::*;

#[tokio::test]
async fn a_mirror_follows_its_remote_and_leaves_the_agents_branches_alone() {
    let place = Place::new().await;
    let (mirror, remote) = (&place.mirror, place.remote());
    let ours = branch("gt/work/gt-1/toast.1");
    mirror.set_branch(&ours, &place.base, None).await.unwrap();
    mirror.keep("a", &place.base).await.unwrap();
    git(&remote, &["branch", "feature"]);
    git(&remote, &["update-ref", "refs/heads/gt/work/gt-1/evil.1", "main"]);
    let report = mirror.fetch().await.unwrap();
    assert_eq!((report.updated, report.skipped), (vec!["feature".to_owned()], vec!["gt/work/gt-1/evil.1".to_owned()]));
    assert_eq!(mirror.branch(&branch("gt/work/gt-1/evil.1")).await.unwrap(), None);
    assert_eq!(mirror.branch(&branch("feature")).await.unwrap(), Some(place.base.clone()));
    git(&remote, &["branch", "-D", "feature"]);
    assert_eq!(mirror.fetch().await.unwrap().removed, ["feature"]);
    assert_eq!(mirror.branch(&branch("feature")).await.unwrap(), None);
    assert_eq!(mirror.branch(&ours).await.unwrap(), Some(place.base.clone()));
    assert_eq!(mirror.kept("a").await.unwrap(), Some(place.base.clone()));
    mirror.release("a").await.unwrap();
    mirror.release("a").await.unwrap();
    assert_eq!(mirror.kept("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_branch_that_gives_way_to_a_folder_of_branches_is_followed() {
    let place = Place::new().await;
    git(&place.remote(), &["branch", "topic"]);
    place.mirror.fetch().await.unwrap();
    git(&place.remote(), &["branch", "-D", "topic"]);
    git(&place.remote(), &["branch", "topic/one"]);
    let report = place.mirror.fetch().await.unwrap();
    assert_eq!((report.removed, report.updated), (vec!["topic".to_owned()], vec!["topic/one".to_owned()]));
}

#[tokio::test]
async fn opening_is_safe_to_repeat_and_to_do_at_once_and_after_a_kill() {
    let place = Place::new().await;
    let path = place.root().join("many/mirror.git");
    fs::create_dir_all(path.parent().unwrap().join(".mirror.git.new-1-1/objects")).unwrap();
    let opens = (0..8).map(|_| Mirror::open(place.runner.clone(), path.clone(), place.mirror.url()));
    for opened in futures_util::future::join_all(opens).await {
        opened.unwrap();
    }
    assert!(!path.parent().unwrap().join(".mirror.git.new-1-1").exists());
    git(&path, &["fsck"]);

    let other = RemoteUrl::new(text(&place.root().join("seed"))).unwrap();
    Mirror::open(place.runner.clone(), path.clone(), &other).await.unwrap();
    assert_eq!(git(&path, &["config", "remote.origin.url"]), other.as_str());
    let error = Mirror::open(place.runner.clone(), place.remote(), &other).await.unwrap_err();
    assert_eq!(error.code(), "mirror_foreign");
    assert_eq!(Mirror::open(place.runner.clone(), "rel", &other).await.unwrap_err().code(), "path_malformed");
}

#[tokio::test]
async fn callers_that_come_together_share_fetches_and_all_see_the_news() {
    let place = Place::new().await;
    let new = commit(&place.root().join("seed"), "b", "b");
    git(&place.root().join("seed"), &["push", "-q", text(&place.remote()), "main"]);
    for done in futures_util::future::join_all((0..16).map(|_| place.mirror.fetch())).await {
        done.unwrap();
    }
    assert_eq!(place.mirror.branch(&branch("main")).await.unwrap(), Some(new.clone()));
    assert_eq!(place.mirror.remote_branch(&branch("main")).await.unwrap(), Some(new));
    assert_eq!(place.mirror.remote_branch(&branch("ain")).await.unwrap(), None);
}

#[tokio::test]
async fn questions_about_history_are_answered() {
    let place = Place::new().await;
    let seed = place.root().join("seed");
    let one = commit(&seed, "b", "b");
    let two = commit(&seed, "c", "c");
    git(&seed, &["push", "-q", text(&place.remote()), "main"]);
    let mirror = &place.mirror;
    assert!(!mirror.commit_exists(&two).await.unwrap());
    mirror.fetch().await.unwrap();
    assert!(mirror.commit_exists(&two).await.unwrap());
    assert!(mirror.contains(&place.base, &two).await.unwrap());
    assert!(!mirror.contains(&two, &place.base).await.unwrap());
    let range = mirror.commits_between(&place.base, &two, 10).await.unwrap();
    assert_eq!((range.commits, range.more), (vec![two.clone(), one], false));
    assert!(mirror.commits_between(&place.base, &two, 1).await.unwrap().more);
    let nobody = Oid::new("1".repeat(40)).unwrap();
    assert_eq!(mirror.contains(&nobody, &two).await.unwrap_err().code(), "commit_missing");
    assert_eq!(mirror.keep("x", &nobody).await.unwrap_err().code(), "commit_missing");
}

#[tokio::test]
async fn a_branch_is_set_only_from_where_it_was_expected() {
    let place = Place::new().await;
    let name = branch("gt/saved/gt-1.1");
    place.mirror.set_branch(&name, &place.base, None).await.unwrap();
    let error = place.mirror.set_branch(&name, &place.base, None).await.unwrap_err();
    assert_eq!((error.code(), error.fact("actual")), ("branch_moved", Some(place.base.as_str())));
    place.mirror.set_branch(&name, &place.base, Some(&place.base)).await.unwrap();
    place.mirror.delete_branch(&name).await.unwrap();
    place.mirror.delete_branch(&name).await.unwrap();
    let error = place.mirror.set_branch(&name, &place.base, Some(&place.base)).await.unwrap_err();
    assert_eq!((error.code(), error.fact("actual")), ("branch_moved", Some("nowhere")));
}

#[tokio::test]
async fn a_remote_that_vanished_is_missing() {
    let place = Place::new().await;
    fs::remove_dir_all(place.remote()).unwrap();
    assert_eq!(place.mirror.fetch().await.unwrap_err().code(), "repository_missing");
    assert_eq!(place.mirror.remote_branch(&branch("main")).await.unwrap_err().code(), "repository_missing");
}

#[tokio::test]
async fn locks_that_a_killed_process_left_on_refs_stop_nobody() {
    let place = Place::new().await;
    git(&place.remote(), &["branch", "feature"]);
    let ours = branch("gt/work/gt-1/toast.1");
    for name in ["remotes/origin/feature", "heads/feature", "heads/gt/work/gt-1/toast.1", "gt/keep/a"] {
        let lock = place.mirror.path().join(format!("refs/{name}.lock"));
        std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
        std::fs::write(lock, "").unwrap();
    }
    std::fs::write(place.mirror.path().join("packed-refs.lock"), "").unwrap();
    assert!(place.mirror.fetch().await.is_err());
    let mirror = Mirror::open(place.mirror.runner().clone(), place.mirror.path(), place.mirror.url()).await.unwrap();
    assert_eq!(mirror.fetch().await.unwrap().updated, ["feature"]);
    mirror.set_branch(&ours, &place.base, None).await.unwrap();
    mirror.keep("a", &place.base).await.unwrap();
    mirror.release("a").await.unwrap();
}
