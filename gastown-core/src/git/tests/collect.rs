use super::*;

#[tokio::test]
async fn commits_that_were_not_pushed_come_home() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(place.base.clone()));
    let done = commit(&spec.path, "new", "new");
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(done.clone()));
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(done.clone()));
    place.mirror.remove_workspace(&spec.path).await.unwrap();
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(done.clone()));
    assert_eq!(git(&place.root().join("mirror.git"), &["show", &format!("{done}:new")]), "new");
    git(&place.root().join("mirror.git"), &["fsck"]);
    assert_eq!(fs::read_dir(place.root().join("mirror.git/incoming")).unwrap().count(), 0);
}

#[tokio::test]
async fn many_commits_and_packed_ones_come_home() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    for n in 0..40 {
        commit(&spec.path, &format!("f{n}"), &format!("{n}"));
    }
    git(&spec.path, &["gc", "-q"]);
    let done = commit(&spec.path, "last", "last");
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(done));
    git(&place.root().join("mirror.git"), &["fsck"]);
}

#[tokio::test]
async fn what_is_ahead_counts_and_what_went_apart_is_kept() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    let pushed = commit(&spec.path, "one", "1");
    git(&spec.path, &["push", "-q"]);
    let ahead = commit(&spec.path, "two", "2");
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(ahead.clone()));
    git(&spec.path, &["reset", "-q", "--hard", pushed.as_str()]);
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(ahead.clone()));
    let amended = commit(&spec.path, "three", "3");
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(amended));
    assert_eq!(place.mirror.kept(&format!("pushed/{}", spec.branch)).await.unwrap(), Some(ahead));
}

#[tokio::test]
async fn without_workspace_or_push_there_is_nothing() {
    let place = Place::new().await;
    let spec = place.spec("toast");
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), None);
    place.mirror.prepare_workspace(&spec).await.unwrap();
    let other = branch("gt/work/gt-9/toast.9");
    assert_eq!(place.mirror.collect(&spec.path, &other).await.unwrap(), None);
}

#[tokio::test]
async fn a_commit_with_missing_or_damaged_objects_sets_nothing() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    commit(&spec.path, "new", "new");
    let blob = git(&spec.path, &["rev-parse", "HEAD:new"]);
    let file = spec.path.join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    let whole = fs::read(&file).unwrap();
    for damage in [None, Some(vec![0; 30])] {
        fs::remove_file(&file).unwrap();
        if let Some(bytes) = damage {
            fs::write(&file, bytes).unwrap();
        }
        let error = place.mirror.collect(&spec.path, &spec.branch).await.unwrap_err();
        assert_eq!(error.code(), "objects_missing");
        assert_eq!(place.mirror.branch(&spec.branch).await.unwrap(), None);
        fs::write(&file, &whole).unwrap();
    }
    assert!(place.mirror.collect(&spec.path, &spec.branch).await.is_ok());
}

#[tokio::test]
async fn an_import_that_was_killed_midway_is_made_whole() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    let done = commit(&spec.path, "new", "new");
    // The commit object alone has arrived.
    let file = Path::new("objects").join(&done.as_str()[..2]).join(&done.as_str()[2..]);
    let target = place.root().join("mirror.git").join(&file);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(spec.path.join(".git").join(&file), target).unwrap();
    fs::create_dir_all(place.root().join("mirror.git/incoming/w1-1/objects")).unwrap();
    assert_eq!(place.mirror.collect(&spec.path, &spec.branch).await.unwrap(), Some(done));
    git(&place.root().join("mirror.git"), &["fsck"]);
    assert_eq!(fs::read_dir(place.root().join("mirror.git/incoming")).unwrap().count(), 0);
}

#[tokio::test]
async fn absurd_amounts_are_refused() {
    let place = Place::new().await;
    let spec = place.workspace("toast").await;
    commit(&spec.path, "new", &"0123456789".repeat(100));
    for (objects_max, bytes_max) in [(2, 1 << 20), (100, 50)] {
        let mut options = GitOptions::from_env();
        options.collect_objects_max = objects_max;
        options.collect_bytes_max = bytes_max;
        let runner = GitRunner::new(options).await.unwrap();
        let mirror = Mirror::open(runner, place.mirror.path(), place.mirror.url()).await.unwrap();
        let error = mirror.collect(&spec.path, &spec.branch).await.unwrap_err();
        assert_eq!(error.code(), "workspace_too_large");
        assert_eq!(mirror.branch(&spec.branch).await.unwrap(), None);
    }
}
