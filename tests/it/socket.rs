//! The session socket: a real socket, spoken to byte by byte and by the client.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gastown_core::model::{BeadId, SecretText, UserId};
use gastown_core::runtime::conformance::until;
use gastown_core::socket::frame::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, framed};
use gastown_core::socket::{Client, SocketOptions, socket_path};
use gastown_core::{AttenuateCapability, ErrorKind, IssueCapability, NewBead, RevokeCapability, Town, operations};
use serde_json::{Value as Json, json};

use crate::support::{HANG, open};

/// A town that is served, and a token of a user.
struct Harbour {
    town: Town,
    token: SecretText,
    path: PathBuf,
    /// Last, because the town's files are in it.
    _dir: tempfile::TempDir,
}

impl Harbour {
    async fn new(options: SocketOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let town = open(dir.path()).await;
        town.serve_with(options).await.unwrap();
        let user = IssueCapability { user: Some(UserId::new("tess").unwrap()), ..IssueCapability::default() };
        let token = SecretText::new(town.operator().capabilities().issue(user).await.unwrap().token);
        let path = socket_path(town.dir());
        Self { town, token, path, _dir: dir }
    }

    async fn usual() -> Self {
        Self::new(SocketOptions::default()).await
    }

    async fn client(&self) -> Client {
        let (path, token) = (self.path.clone(), self.token.clone());
        blocking(move || Client::connect(&path, &token, HANG).unwrap()).await
    }

    fn hello(&self) -> Vec<u8> {
        hello(&json!([1]), self.token.expose())
    }

    /// Sends these bytes in pieces of a size, says no more, and gives everything that is answered until the end.
    async fn say(&self, bytes: Vec<u8>, size: usize) -> Vec<Json> {
        let path = self.path.clone();
        blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            for piece in bytes.chunks(size) {
                // Where it is refused in the middle, the rest is not taken.
                if stream.write_all(piece).is_err() {
                    break;
                }
            }
            let _ = stream.shutdown(std::net::Shutdown::Write);
            answers(&mut stream)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn message(value: &Json) -> Vec<u8> {
    framed(value.to_string().as_bytes()).unwrap()
}

fn hello(versions: &Json, token: &str) -> Vec<u8> {
    message(
        &json!({ "jsonrpc": "2.0", "id": 0, "method": "hello", "params": { "versions": versions, "token": token } }),
    )
}

fn request(id: u64, method: &str, params: &Json) -> Vec<u8> {
    message(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

/// Everything that comes until the other end closes.
fn answers(stream: &mut UnixStream) -> Vec<Json> {
    stream.set_read_timeout(Some(HANG)).unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            // The other end had not read all when it closed.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection is not closed: {error}"),
        }
    }
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (frame, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        found.push(serde_json::from_slice(frame).unwrap());
        rest = behind;
    }
    found
}

fn code(answer: &Json) -> &str {
    answer["error"]["data"]["code"].as_str().unwrap_or_else(|| panic!("an error is wanted: {answer}"))
}

#[tokio::test]
async fn whatever_does_not_begin_with_a_good_hello_gets_one_error_and_the_end() {
    let harbour = Harbour::usual().await;
    let good = harbour.token.expose();
    for (bytes, wanted) in [
        (request(1, "beads.list", &json!({})), "hello_wanted"),
        (b"GET / HTTP/1.1\r\nHost: town\r\n\r\n".to_vec(), "frame_malformed"),
        (b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"hello\"}\n".to_vec(), "frame_malformed"),
        ([&[1], &harbour.hello()[..]].concat(), "frame_malformed"),
        ([&[0], &harbour.hello()[..]].concat(), "json_malformed"),
        (u32::try_from(HELLO_BYTES_MAX + 1).unwrap().to_be_bytes().to_vec(), "frame_too_large"),
        (framed(b"nonsense").unwrap(), "json_malformed"),
        (framed(b"[]").unwrap(), "request_malformed"),
        (hello(&json!([2, 3]), good), "protocol_unsupported"),
        (hello(&json!("1"), good), "request_malformed"),
        (hello(&json!([1]), "nonsense"), "token_malformed"),
        (hello(&json!([1]), &good[..good.len() - 6]), "token_malformed"),
    ] {
        // What comes behind it is not looked at.
        let behind = request(2, "beads.create", &json!({ "title": "Sneaked in" }));
        let said = harbour.say([bytes.clone(), behind].concat(), usize::MAX).await;
        let shown = bytes.escape_ascii().to_string();
        assert_eq!(said.len(), 1, "{shown}: {said:?}");
        if wanted == "token_malformed" {
            assert!(code(&said[0]).starts_with("token_"), "{shown}: {said:?}");
        } else {
            assert_eq!(code(&said[0]), wanted, "{shown}");
        }
        assert!(!said[0].to_string().contains(good), "the token is not told");
    }
    assert!(harbour.town.operator().beads().list(gastown_core::BeadFilter::default()).await.unwrap().beads.is_empty());
}

#[tokio::test]
async fn who_says_nothing_is_told_so_and_let_go() {
    let harbour = Harbour::new(bounds(|it| it.hello_within = Duration::from_millis(50))).await;
    for begun in [&[][..], &harbour.hello()[..20]] {
        let (path, begun) = (harbour.path.clone(), begun.to_vec());
        let said = blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(&begun).unwrap();
            answers(&mut stream)
        })
        .await;
        assert_eq!((said.len(), code(&said[0])), (1, "hello_late"));
    }
}

#[tokio::test]
async fn a_hello_and_requests_in_one_write_or_byte_by_byte_are_answered() {
    let harbour = Harbour::usual().await;
    let bytes = [
        harbour.hello(),
        request(1, "beads.create", &json!({ "title": "Lay the keel" })),
        request(2, "no.such", &json!({})),
        framed(b"nonsense").unwrap(),
    ]
    .concat();
    for size in [usize::MAX, 1, 7] {
        let said = harbour.say(bytes.clone(), size).await;
        assert_eq!(said.len(), 4, "{said:?}");
        assert_eq!(said[0]["result"]["version"], 1);
        assert_eq!(said[0]["result"]["principal"], "user/tess");
        let by_id = |id: Json| said.iter().find(|answer| answer["id"] == id).unwrap();
        assert_eq!(by_id(json!(1))["result"]["title"], "Lay the keel");
        assert_eq!((code(by_id(json!(2))), &by_id(json!(2))["error"]["code"]), ("operation_unknown", &json!(-32_601)));
        assert_eq!((code(by_id(Json::Null)), &by_id(Json::Null)["error"]["code"]), ("json_malformed", &json!(-32_700)));
    }
}

fn bounds(set: impl FnOnce(&mut SocketOptions)) -> SocketOptions {
    let mut options = SocketOptions::default();
    set(&mut options);
    options
}

#[tokio::test]
async fn a_frame_that_is_too_large_behind_the_hello_ends_the_connection_with_an_error() {
    let harbour = Harbour::usual().await;
    let large = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes().to_vec();
    let said = harbour.say([harbour.hello(), large].concat(), usize::MAX).await;
    assert_eq!((said.len(), code(&said[1])), (2, "frame_malformed"));
}

/// Two towns that are alike: one is called in the process, the other through its socket.
#[tokio::test]
async fn every_operation_says_the_same_through_the_socket_as_in_the_process() {
    let (near, far) = (Harbour::usual().await, Harbour::usual().await);
    for harbour in [&near, &far] {
        let keel = NewBead { id: Some(BeadId::new("hq-keel").unwrap()), ..NewBead::titled("Lay the keel") };
        harbour.town.operator().beads().create(keel).await.unwrap();
    }
    let handle = near.town.with_token(near.token.expose()).await.unwrap();
    let mut client = far.client().await;
    assert_eq!(client.welcome().principal.verbs.len(), operations().len(), "a user may call all of them");
    for operation in operations() {
        for input in [json!({}), json!({ "id": "hq-keel" }), json!({ "id": "hq-nowhere" }), json!({ "no_such": 1 })] {
            let name = operation.name;
            let here = handle.call(name, input.clone()).await.map_err(|error| told(&error));
            let asked = input.clone();
            let (given, there) = blocking(move || {
                let there = client.call(name, asked, None, HANG);
                (client, there)
            })
            .await;
            client = given;
            let there = there.map_err(|error| told(&error));
            // The times and the hashes of two towns differ; what fields there are does not.
            assert_eq!(here.map(|it| fields(&it)), there.map(|it| fields(&it)), "{name} {input}");
        }
    }
}

fn fields(output: &Json) -> Vec<String> {
    output.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

type Told = (ErrorKind, String, String, Vec<(String, String)>);

fn told(error: &gastown_core::Error) -> Told {
    (error.kind(), error.code().to_owned(), error.to_string(), facts(error))
}

fn facts(error: &gastown_core::Error) -> Vec<(String, String)> {
    error.facts().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn two_callers_at_once_each_get_their_own_answers() {
    let harbour = Harbour::usual().await;
    let callers = (0..2).map(|caller| {
        let (path, token) = (harbour.path.clone(), harbour.token.clone());
        blocking(move || {
            let mut client = Client::connect(&path, &token, HANG).unwrap();
            for n in 0..50 {
                let title = format!("{caller} {n}");
                let made = client.call("beads.create", json!({ "title": title }), None, HANG).unwrap();
                assert_eq!(made["title"], title);
            }
            assert_eq!(client.dropped(), 0);
        })
    });
    let callers: Vec<_> = callers.map(tokio::spawn).collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_repeat_with_its_key_changes_nothing_more() {
    let harbour = Harbour::usual().await;
    let mut client = harbour.client().await;
    let (first, second, other) = blocking(move || {
        let mut create = |title: &str| client.call("beads.create", json!({ "title": title }), Some("once"), HANG);
        (create("Lay the keel").unwrap(), create("Lay the keel").unwrap(), create("Raise the mast").unwrap_err())
    })
    .await;
    assert_eq!(first, second);
    assert_eq!(other.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn what_takes_longer_than_its_deadline_is_a_typed_error_and_its_connection_goes_on() {
    let harbour = Harbour::usual().await;
    let mut late = Vec::new();
    for id in 1..4 {
        late.extend(message(
            &json!({ "jsonrpc": "2.0", "id": id, "method": "upkeep.health", "params": {}, "deadline_ms": 0 }),
        ));
    }
    let said = harbour.say([harbour.hello(), late, request(9, "beads.list", &json!({}))].concat(), usize::MAX).await;
    assert_eq!(said.len(), 5);
    for answer in &said[1..] {
        if answer["id"] == 9 {
            assert!(answer["result"]["beads"].is_array());
        } else {
            assert_eq!((code(answer), &answer["error"]["data"]["kind"]), ("deadline_exceeded", &json!("exhausted")));
        }
    }
}

#[tokio::test]
async fn a_late_answer_and_one_that_nobody_asked_for_are_dropped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let welcome = json!({ "jsonrpc": "2.0", "id": 0, "result": {
        "version": 1, "gastown": "0", "requests_max": 1, "frame_bytes_max": 1, "town": "t", "principal": "p", "verbs": [] } });
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&message(&welcome)).unwrap();
        let answer = |id: u64| message(&json!({ "jsonrpc": "2.0", "id": id, "result": id }));
        let read = move |stream: &mut UnixStream| {
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut frame).unwrap();
            serde_json::from_slice::<Json>(&frame).unwrap()["id"].as_u64().unwrap()
        };
        assert_eq!(read(&mut stream), 0);
        let first = read(&mut stream);
        // Only with the second request comes what the first one waited for.
        let second = read(&mut stream);
        for id in [first, 77, second] {
            stream.write_all(&answer(id)).unwrap();
        }
    });
    let (dropped, late, answer) = blocking(move || {
        let mut client = Client::connect(&path, &SecretText::new("t"), HANG).unwrap();
        let late = client.call("a", json!({}), None, Duration::from_millis(1)).unwrap_err();
        let answer = client.call("a", json!({}), None, HANG).unwrap();
        (client.dropped(), late, answer)
    })
    .await;
    other.join().unwrap();
    assert_eq!((late.kind(), late.code()), (ErrorKind::Exhausted, "deadline_exceeded"));
    assert_eq!((dropped, answer), (2, json!(2)));
}

#[tokio::test]
async fn a_revoked_token_is_good_for_nothing_more_on_an_open_connection() {
    let harbour = Harbour::usual().await;
    let user = IssueCapability { user: Some(UserId::new("tom").unwrap()), ..IssueCapability::default() };
    let issued = harbour.town.operator().capabilities().issue(user).await.unwrap();
    let (path, token) = (harbour.path.clone(), SecretText::new(issued.token));
    let mut client = blocking(move || Client::connect(&path, &token, HANG).unwrap()).await;
    let mut client = blocking(move || {
        client.call("beads.list", json!({}), None, HANG).unwrap();
        client
    })
    .await;
    harbour.town.operator().capabilities().revoke(RevokeCapability::from(issued.id)).await.unwrap();
    let error = blocking(move || client.call("beads.list", json!({}), None, HANG).unwrap_err()).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, "capability_revoked"));
}

#[tokio::test]
async fn more_callers_than_there_are_places_are_told_so() {
    let harbour = Harbour::new(bounds(|it| it.connections_max = 1)).await;
    let _first = harbour.client().await;
    let (path, token) = (harbour.path.clone(), harbour.token.clone());
    let error = blocking(move || Client::connect(&path, &token, HANG).unwrap_err()).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Exhausted, "connections_exhausted"));
}

#[tokio::test]
async fn one_token_and_what_is_made_of_it_cannot_take_the_places_of_others() {
    let harbour = Harbour::new(bounds(|it| it.connections_of_token_max = 1)).await;
    let capabilities = harbour.town.operator().capabilities();
    let of_it = AttenuateCapability { token: harbour.token.expose().to_owned(), rig: None, verbs: None, ttl_ms: None };
    let of_it = SecretText::new(capabilities.attenuate(of_it).await.unwrap().token);
    let other = IssueCapability { user: Some(UserId::new("olga").unwrap()), ..IssueCapability::default() };
    let other = SecretText::new(capabilities.issue(other).await.unwrap().token);
    let first = harbour.client().await;
    let connect = |token: &SecretText| {
        let (path, token) = (harbour.path.clone(), token.clone());
        blocking(move || Client::connect(&path, &token, HANG))
    };
    for token in [&harbour.token, &of_it] {
        let error = connect(token).await.unwrap_err();
        assert_eq!((error.code(), error.fact("connections_max")), ("connections_exhausted", Some("1")));
    }
    connect(&other).await.unwrap();
    drop(first);
    // The town sees that it is gone when it reads from it again.
    until("the place is free", async || connect(&of_it).await.is_ok()).await;
}

#[tokio::test]
async fn a_frame_that_is_begun_and_not_ended_is_not_waited_for() {
    let harbour = Harbour::new(bounds(|it| it.read_within = Duration::from_millis(50))).await;
    let (path, bytes) = (harbour.path.clone(), [harbour.hello(), vec![0, 0x7f, 0xff, 0xff, b'{']].concat());
    let said = blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(&bytes).unwrap();
        answers(&mut stream)
    })
    .await;
    assert_eq!((said.len(), code(&said[1])), (2, "frame_late"));
}

#[tokio::test]
async fn who_does_not_read_is_let_go_and_others_are_served() {
    let harbour = Harbour::new(bounds(|it| it.read_within = Duration::from_millis(50))).await;
    let text = "x".repeat(1 << 20);
    let bead = NewBead { description: text, ..NewBead::titled("Long") };
    let id = harbour.town.operator().beads().create(bead).await.unwrap().id;
    let asks = (1..40).flat_map(|n| request(n, "beads.get", &json!({ "id": id })));
    let bytes: Vec<u8> = harbour.hello().into_iter().chain(asks).collect();
    let path = harbour.path.clone();
    let slow = blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(&bytes).unwrap();
        stream
    })
    .await;
    let mut client = harbour.client().await;
    blocking(move || client.call("beads.list", json!({}), None, HANG).unwrap()).await;
    // The other end is closed: what it had sent can be read, and then there is the end instead of all the answers.
    let seen = blocking(move || {
        // It shows by writing, which needs nothing to be read.
        let mut slow = slow;
        let ping = [0; 1];
        while slow.write_all(&ping).is_ok() {
            std::thread::yield_now();
        }
        let mut seen = 0;
        let mut piece = vec![0; 1 << 16];
        while let Ok(read @ 1..) = slow.read(&mut piece) {
            seen += read;
        }
        seen
    })
    .await;
    assert!(seen < 20 << 20, "{seen} bytes were kept for one who does not read");
}

#[tokio::test]
async fn the_socket_is_this_users_alone_and_gone_with_the_town() {
    let harbour = Harbour::usual().await;
    assert_eq!(std::fs::metadata(&harbour.path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = harbour.client().await;
    harbour.town.close().await.unwrap();
    assert!(!harbour.path.exists());
    let error = blocking(move || client.call("beads.list", json!({}), None, HANG).unwrap_err()).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "town_unreachable"));
    let (path, token) = (harbour.path.clone(), harbour.token.clone());
    let error = blocking(move || Client::connect(&path, &token, HANG).unwrap_err()).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "town_unreachable"));
}

#[tokio::test]
async fn a_caller_that_stays_connected_does_not_keep_the_town_open() {
    let harbour = Harbour::usual().await;
    let client = harbour.client().await;
    let path = harbour.path.clone();
    let Harbour { town, _dir, .. } = harbour;
    drop(town);
    assert!(!path.exists(), "the socket went with the last handle");
    drop(client);
}

#[tokio::test]
async fn a_living_socket_is_never_replaced() {
    let harbour = Harbour::usual().await;
    let second = open(harbour.town.dir().parent().unwrap()).await;
    let error = second.serve().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "socket_taken"));
    harbour.client().await;
    harbour.town.close().await.unwrap();
    second.serve().await.unwrap();
    harbour.client().await;
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_town_deep_in_folders_has_its_socket_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a-folder-with-a-long-name".repeat(5));
    std::fs::create_dir(&deep).unwrap();
    let town = open(&deep).await;
    town.serve().await.unwrap();
    let path = socket_path(town.dir());
    assert!(!path.starts_with(dir.path()) && path.exists());
    town.close().await.unwrap();
    assert!(!path.exists());
}

/// A host in a process of its own that serves a town and says so.
fn host(dir: &Path) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_town-child"))
        .args(["serve".as_ref(), dir.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 7];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"serving");
    child
}

#[tokio::test]
async fn a_killed_host_is_unavailable_and_what_it_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let town = open(dir.path()).await;
    let user = IssueCapability { user: Some(UserId::new("tess").unwrap()), ..IssueCapability::default() };
    let token = SecretText::new(town.operator().capabilities().issue(user).await.unwrap().token);
    let path = socket_path(town.dir());
    let mut killed = host(&dir.path().join("town"));
    let (error, path, token) = blocking(move || {
        let mut client = Client::connect(&path, &token, HANG).unwrap();
        client.call("beads.list", json!({}), None, HANG).unwrap();
        killed.kill().unwrap();
        killed.wait().unwrap();
        let error = client.call("beads.list", json!({}), None, HANG).unwrap_err();
        assert!(client.is_over());
        (error, path, token)
    })
    .await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "town_unreachable"));
    assert!(path.exists(), "a killed process leaves its socket");
    town.serve().await.unwrap();
    blocking(move || Client::connect(&path, &token, HANG).unwrap()).await;
    town.close().await.unwrap();
}
