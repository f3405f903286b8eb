use super::*;
use crate::model::{Error, ErrorKind};

async fn look(url: &str, name: &str) -> std::result::Result<RemoteFacts, Error> {
    let runner = GitRunner::new(GitOptions::from_env()).await.unwrap();
    inspect_remote(&runner, &RemoteUrl::new(url).unwrap(), &branch(name)).await
}

#[tokio::test]
async fn a_bare_repository_is_taken_with_its_branches() {
    let place = Place::new().await;
    git(&place.remote(), &["branch", "release/1"]);
    let facts = look(text(&place.remote()), "main").await.unwrap();
    assert_eq!((facts.head, facts.bare), (place.base.clone(), Some(true)));
    assert_eq!(facts.branches, ["main", "release/1"]);
    assert!(look(&format!("file://{}", text(&place.remote())), "main").await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_a_rig_is_told_apart() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let error = look(text(&root.join("nowhere")), "main").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "repository_missing"));

    fs::create_dir(root.join("plain")).unwrap();
    let error = look(text(&root.join("plain")), "main").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "not_a_repository"));

    git(root, &["init", "-q", "--bare", "empty.git"]);
    let error = look(text(&root.join("empty.git")), "main").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "repository_empty"));

    let seed = seed(root);
    let error = look(text(&seed), "trunk").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "branch_missing"));
    assert_eq!(error.fact("branches"), Some("main"));

    git(root, &["init", "-q", "--object-format=sha256", "-b", "main", "wide"]);
    commit(&root.join("wide"), "a", "a");
    assert_eq!(look(text(&root.join("wide")), "main").await.unwrap_err().code(), "object_format_unsupported");
}

#[tokio::test]
async fn a_branch_that_is_checked_out_is_refused_unless_pushes_are_taken() {
    let folder = TempDir::new().unwrap();
    let seed = seed(folder.path());
    fs::write(seed.join("README.md"), "changed\n").unwrap();
    fs::write(seed.join("untracked"), "new\n").unwrap();
    let error = look(text(&seed), "main").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "branch_checked_out"));
    assert_eq!((error.fact("dirty"), error.fact("files")), (Some("1"), Some("README.md")));

    git(&seed, &["config", "receive.denyCurrentBranch", "updateInstead"]);
    let error = look(text(&seed), "main").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "repository_dirty"));
    assert_eq!((error.fact("dirty"), error.fact("files")), (Some("1"), Some("README.md")));

    git(&seed, &["checkout", "-q", "README.md"]);
    assert_eq!(look(text(&seed), "main").await.unwrap().bare, Some(false));
    git(&seed, &["config", "receive.denyCurrentBranch", "ignore"]);
    assert!(look(text(&seed), "main").await.is_ok());
    git(&seed, &["config", "--unset", "receive.denyCurrentBranch"]);
    git(&seed, &["checkout", "-q", "-b", "other"]);
    assert!(look(text(&seed), "main").await.is_ok());
    git(&seed, &["worktree", "add", "-q", "../linked", "main"]);
    assert_eq!(look(text(&seed), "main").await.unwrap_err().code(), "branch_checked_out");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_unreachable() {
    let mut options = GitOptions::from_env();
    options.allow_http_protocol = true;
    let runner = GitRunner::new(options).await.unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = RemoteUrl::new(format!("http://127.0.0.1:{port}/x.git")).unwrap();
    let error = inspect_remote(&runner, &url, &branch("main")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "remote_unreachable"));
}
