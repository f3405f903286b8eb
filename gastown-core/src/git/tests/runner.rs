use std::io::Read;
use std::time::Duration;

use super::*;

async fn fake(folder: &Path, body: &str) -> GitRunner {
    let program = folder.join("fakegit");
    script(&program, &format!("case \"$*\" in *--version*) echo git version 2.39.1; exit 0;; esac\n{body}"));
    let mut options = GitOptions::from_env();
    options.program = program;
    GitRunner::new(options).await.unwrap()
}

#[test]
fn versions_are_read_and_old_ones_refused() {
    assert_eq!(GitVersion::parse("git version 2.39.5 (Apple Git-154)\n").unwrap().to_string(), "2.39.5");
    assert_eq!(GitVersion::parse("git version 2.47.GIT").unwrap(), GitVersion { major: 2, minor: 47, patch: 0 });
    assert_eq!(GitVersion::parse("hub version 1").unwrap_err().code(), "git_version_unreadable");
    assert!(GitVersion::parse("git version 2.39.0").unwrap().require().is_ok());
    assert_eq!(GitVersion::parse("git version 2.38.9").unwrap().require().unwrap_err().code(), "git_too_old");
}

#[tokio::test]
async fn a_missing_or_old_program_is_refused() {
    let folder = TempDir::new().unwrap();
    let options = GitOptions { path: Some(folder.path().into()), ..GitOptions::default() };
    assert_eq!(GitRunner::new(options.clone()).await.unwrap_err().code(), "git_missing");
    script(&folder.path().join("git"), "echo git version 2.30.2");
    assert_eq!(GitRunner::new(options).await.unwrap_err().code(), "git_too_old");
}

#[tokio::test]
async fn the_environment_is_cleared_and_only_the_named_variables_pass() {
    let folder = TempDir::new().unwrap();
    let mut options = GitOptions::from_env();
    options.program = folder.path().join("fakegit");
    script(&options.program, "case \"$*\" in *--version*) echo git version 2.39.1;; *) env;; esac");
    options.env.push(("GASTOWN_SOCKET".into(), "/tmp/s".into()));
    assert!(!format!("{options:?}").contains("/tmp/s"), "values are not printed");
    let runner = GitRunner::new(options).await.unwrap();
    let seen = runner.run(GitCommand::new("x")).await.unwrap().text();
    assert!(seen.contains("GASTOWN_SOCKET=/tmp/s") && seen.contains("GIT_TERMINAL_PROMPT=0"));
    assert!(seen.contains("GIT_ALLOW_PROTOCOL=https:ssh:file\n"), "{seen}");
    // Cargo sets this for every test.
    #[allow(clippy::disallowed_methods, reason = "the test compares with its own environment")]
    let own = std::env::var_os("CARGO_MANIFEST_DIR");
    assert!(own.is_some() && !seen.contains("CARGO_MANIFEST_DIR"));
}

#[tokio::test]
async fn a_call_past_its_deadline_is_killed_with_its_whole_group() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("alive");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // The child of the child keeps the pipe open for as long as it lives.
    let runner = fake(folder.path(), &format!("sleep 1000 > {} & wait", pipe.display())).await;
    let watch = std::thread::spawn(move || fs::File::open(&pipe).unwrap().read_to_end(&mut Vec::new()).unwrap());
    let error = runner.run(GitCommand::new("x").timeout(Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(error.code(), "git_timeout");
    watch.join().unwrap();
}

#[tokio::test]
async fn a_dropped_call_is_killed_with_its_whole_group() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("alive");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let runner = fake(folder.path(), &format!("sleep 1000 > {} & wait", pipe.display())).await;
    let opened = tokio::task::spawn_blocking(move || fs::File::open(&pipe).unwrap());
    let call = tokio::spawn(async move { runner.run(GitCommand::new("x")).await });
    // Opening returns once the grandchild has the other end.
    let mut file = opened.await.unwrap();
    call.abort();
    tokio::task::spawn_blocking(move || file.read_to_end(&mut Vec::new()).unwrap()).await.unwrap();
}

#[tokio::test]
async fn output_past_the_cap_ends_the_call() {
    let folder = TempDir::new().unwrap();
    let runner = fake(folder.path(), "while :; do echo 0123456789012345678901234567890123456789; done").await;
    let error = runner.run(GitCommand::new("x")).await.unwrap_err();
    assert_eq!(error.code(), "git_output_exceeded");
}

#[tokio::test]
async fn much_standard_error_blocks_nothing_and_is_bounded() {
    let folder = TempDir::new().unwrap();
    let runner = fake(folder.path(), "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3").await;
    let error = runner.run(GitCommand::new("x")).await.unwrap_err();
    assert_eq!((error.code(), error.fact("exit")), ("git_failed", Some("3")));
    assert!(error.fact("stderr").unwrap().len() <= 2_000);
}

#[tokio::test]
async fn what_is_not_read_does_not_block_the_feeder() {
    let folder = TempDir::new().unwrap();
    let runner = fake(folder.path(), "exec cat <&- >/dev/null 2>&1; exit 0").await;
    let bytes = vec![b'x'; 1 << 20];
    let _ = runner.run(GitCommand::new("x").stdin(bytes.clone())).await;
    let runner = fake(folder.path(), "exec cat").await;
    assert_eq!(runner.run(GitCommand::new("x").stdin(bytes.clone())).await.unwrap().stdout, bytes);
}

#[tokio::test]
async fn what_git_says_becomes_typed_errors_without_secrets() {
    let folder = TempDir::new().unwrap();
    for (says, code) in [
        ("fatal: Authentication failed for 'https://bob:hunter2@host/x'", "auth_failed"),
        ("fatal: could not read Username for 'https://host': terminal prompts disabled", "auth_failed"),
        ("git@host: Permission denied (publickey).", "auth_failed"),
        ("fatal: unable to access 'https://host/': Could not resolve host: host", "remote_unreachable"),
        ("fatal: unable to access 'https://host/': The requested URL returned error: 403", "auth_failed"),
        ("fatal: repository 'https://host/x/' not found", "repository_missing"),
        ("fatal: '/x' does not appear to be a git repository", "repository_missing"),
        ("fatal: transport 'ext' not allowed", "protocol_refused"),
        ("fatal: bad object hunter2", "git_failed"),
    ] {
        let runner = fake(folder.path(), &format!("cat >&2 <<'END'\n{says}\nEND\nexit 128")).await;
        let error = runner.run(GitCommand::new("x")).await.unwrap_err();
        assert_eq!(error.code(), code, "{says}");
        assert!(!format!("{error:?}").contains("bob:hunter2"));
    }
}

#[tokio::test]
async fn a_remote_of_a_forbidden_protocol_is_not_asked() {
    let place = Place::new().await;
    let mut options = GitOptions::from_env();
    options.allow_file_protocol = false;
    let runner = GitRunner::new(options).await.unwrap();
    let mirror = Mirror::open(runner, place.root().join("m2.git"), place.mirror.url()).await.unwrap();
    assert_eq!(mirror.fetch().await.unwrap_err().code(), "protocol_refused");
}
