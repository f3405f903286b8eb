use super::*;
use crate::model::ErrorKind;

/// Commits on top of the base that the mirror has and the remote has not.
async fn commits(place: &Place, count: usize) -> Vec<Oid> {
    let mut made = Vec::new();
    for n in 0..count {
        let spec = place.workspace(&format!("w{n}")).await;
        made.push(commit(&spec.path, "new", &format!("{n}")));
        place.mirror.collect(&spec.path, &spec.branch).await.unwrap();
    }
    made
}

#[tokio::test]
async fn a_branch_is_made_moved_and_removed_at_the_remote() {
    let place = Place::new().await;
    let mirror = &place.mirror;
    let made = commits(&place, 2).await;
    let name = branch("gt/gt-1");
    assert_eq!(mirror.publish(&name, &made[0], None).await.unwrap(), PublishOutcome::Published);
    assert_eq!(mirror.publish(&name, &made[0], None).await.unwrap(), PublishOutcome::AlreadyThere);
    assert_eq!(git(&place.remote(), &["rev-parse", "gt/gt-1"]), made[0].as_str());
    assert_eq!(mirror.branch(&name).await.unwrap(), Some(made[0].clone()), "agents see it at once");
    // Another attempt replaces the first, which it does not contain.
    assert_eq!(mirror.publish(&name, &made[1], Some(&made[0])).await.unwrap(), PublishOutcome::Published);
    let moved = DeleteOutcome::Moved { actual: made[1].clone() };
    assert_eq!(mirror.delete_remote_branch(&name, &made[0]).await.unwrap(), moved);
    assert_eq!(mirror.delete_remote_branch(&name, &made[1]).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(mirror.delete_remote_branch(&name, &made[1]).await.unwrap(), DeleteOutcome::Absent);
    assert_eq!((mirror.branch(&name).await.unwrap(), mirror.remote_branch(&name).await.unwrap()), (None, None));
}

#[tokio::test]
async fn a_branch_that_moved_stays_as_it_is() {
    let place = Place::new().await;
    let made = commits(&place, 1).await;
    let theirs = commit(&place.root().join("seed"), "theirs", "theirs");
    git(&place.root().join("seed"), &["push", "-q", text(&place.remote()), "main"]);
    let moved = |actual: Option<&Oid>| PublishOutcome::Moved { actual: actual.cloned() };
    let (mirror, main) = (&place.mirror, branch("main"));
    assert_eq!(mirror.publish(&main, &made[0], Some(&place.base)).await.unwrap(), moved(Some(&theirs)));
    assert_eq!(mirror.publish(&main, &made[0], None).await.unwrap(), moved(Some(&theirs)));
    assert_eq!(mirror.publish(&branch("none"), &made[0], Some(&place.base)).await.unwrap(), moved(None));
    assert_eq!(git(&place.remote(), &["rev-parse", "main"]), theirs.as_str());
    let nobody = Oid::new("1".repeat(40)).unwrap();
    assert_eq!(mirror.publish(&main, &nobody, Some(&theirs)).await.unwrap_err().code(), "commit_missing");
}

#[tokio::test]
async fn of_racing_publishers_exactly_one_wins() {
    let place = Place::new().await;
    let made = commits(&place, 6).await;
    for (name, expected) in [("main", Some(&place.base)), ("gt/convoy/c-1", None)] {
        let name = branch(name);
        let racers = made.iter().map(|commit| place.mirror.publish(&name, commit, expected));
        let outcomes = futures_util::future::join_all(racers).await;
        let there = place.mirror.remote_branch(&name).await.unwrap();
        let mut winners = 0;
        for (commit, outcome) in made.iter().zip(outcomes) {
            match outcome.unwrap() {
                PublishOutcome::Published => {
                    winners += 1;
                    assert_eq!(there.as_ref(), Some(commit));
                }
                PublishOutcome::Moved { actual } => assert_eq!(actual, there),
                PublishOutcome::AlreadyThere => panic!("each has a commit of its own"),
            }
        }
        assert_eq!(winners, 1);
    }
}

#[tokio::test]
async fn a_rule_of_the_remote_is_told_in_its_words() {
    let place = Place::new().await;
    let made = commits(&place, 1).await;
    fs::create_dir_all(place.remote().join("hooks")).unwrap();
    script(&place.remote().join("hooks/pre-receive"), "echo reviews are needed >&2; exit 1");
    let error = place.mirror.publish(&branch("main"), &made[0], Some(&place.base)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, "push_rejected"));
    assert!(error.fact("remote_says").unwrap().contains("reviews are needed"), "{error:?}");
    assert!(error.fact("why").unwrap().contains("pre-receive hook declined"), "{error:?}");
    let error = place.mirror.delete_remote_branch(&branch("main"), &place.base).await.unwrap_err();
    assert_eq!(error.code(), "push_rejected");
}

#[tokio::test]
async fn a_vanished_remote_is_an_error_and_not_an_outcome() {
    let place = Place::new().await;
    let made = commits(&place, 1).await;
    fs::remove_dir_all(place.remote()).unwrap();
    let error = place.mirror.publish(&branch("main"), &made[0], Some(&place.base)).await.unwrap_err();
    assert_eq!(error.code(), "repository_missing");
}

#[tokio::test]
async fn all_futures_may_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let place = Place::new().await;
    let (mirror, main) = (&place.mirror, branch("main"));
    is_send(mirror.fetch()).await.unwrap();
    drop(is_send(mirror.publish(&main, &place.base, None)));
    drop(is_send(mirror.collect(place.root(), &main)));
    drop(is_send(inspect_remote(&place.runner, mirror.url(), &main)));
    drop(is_send(mirror.prepare_workspace(&place.spec("x"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_and_fetching_at_the_same_time_disturb_neither() {
    let place = Place::new().await;
    for round in 0..20 {
        let name = branch(&format!("gt/round-{round}"));
        let (published, first, second) =
            tokio::join!(place.mirror.publish(&name, &place.base, None), place.mirror.fetch(), place.mirror.fetch(),);
        assert_eq!(published.unwrap(), PublishOutcome::Published);
        first.unwrap();
        second.unwrap();
        assert_eq!(place.mirror.branch(&name).await.unwrap(), Some(place.base.clone()), "round {round}");
    }
}
