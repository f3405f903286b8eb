//! Tokens that must not pass, and those that must.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::key::SigningKey;
use super::keys::Keys;
use super::ring::KeyRing;
use super::token::{Authority, Draft, TOKEN_BYTES_MAX};
use crate::model::{BeadId, CapabilityId, KeyAlgorithm, RigName, Role, Scope, SessionId, Timestamp, TownId, UserId};

const SECRET: [u8; 32] = [7; 32];
const KID: &str = "k1";

/// A moment that is no whole second.
fn now() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_250_000)
}

fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

fn authority(algorithm: KeyAlgorithm) -> Authority {
    let key = SigningKey::new(KID, algorithm, &SECRET, now()).unwrap();
    authority_of(KeyRing::new([key]).unwrap())
}

fn authority_of(ring: KeyRing) -> Authority {
    Authority::new(TownId::new("harbour").unwrap(), Keys::Given(Arc::new(ring)))
}

fn agent() -> Scope {
    Scope::Agent {
        agent: BeadId::new("gt-a1").unwrap(),
        role: Role::Polecat,
        rig: RigName::new("docks").unwrap(),
        bead: BeadId::new("gt-7").unwrap(),
        session: SessionId::new("s-gt-7-3").unwrap(),
        epoch: 3,
    }
}

fn draft(scope: Scope) -> Draft {
    Draft {
        id: CapabilityId::new("cap-1").unwrap(),
        scope,
        verbs: None,
        chain: Vec::new(),
        issued_at: now(),
        expires_at: now().after(Duration::from_secs(60)),
    }
}

/// The claims of a good token.
fn claims() -> Json {
    let now = seconds(now());
    json!({
        "iss": "gastown", "aud": "gastown/harbour", "sub": "polecat/gt-a1", "jti": "cap-1",
        "iat": now, "nbf": now, "exp": now + 60, "town": "harbour",
        "rig": "docks", "agent": "gt-a1", "role": "polecat", "bead": "gt-7", "session": "s-gt-7-3", "epoch": 3,
    })
}

fn header(algorithm: Algorithm) -> Header {
    let mut header = Header::new(algorithm);
    header.typ = Some("gastown-capability+jwt".to_owned());
    header.kid = Some(KID.to_owned());
    header
}

/// A token of these claims that is signed as a good one is.
fn token(header: &Header, claims: &Json) -> String {
    encode(header, claims, &EncodingKey::from_secret(&SECRET)).unwrap()
}

/// The same with the header's and the claims' text as they are.
fn token_of_text(header: &str, claims: &str) -> String {
    // What is signed is the text of both; the signature is that of a token with the same two texts.
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(&SECRET), Algorithm::HS256);
    format!("{signed}.{}", signature.unwrap())
}

fn refused(token: &str) -> String {
    let error = authority(KeyAlgorithm::Hs256).verify(token, now()).unwrap_err();
    assert!(
        !format!("{} {error:?}", error.chain()).contains(token) || token.len() < 8,
        "the token is shown: {error:?}"
    );
    error.code().to_owned()
}

#[test]
fn what_was_issued_is_verified_as_it_was_by_either_algorithm() {
    let scopes = [
        agent(),
        Scope::Rig(RigName::new("docks").unwrap()),
        Scope::User { user: UserId::new("tess@example.org").unwrap(), rig: None },
        Scope::User { user: UserId::new("tess").unwrap(), rig: Some(RigName::new("docks").unwrap()) },
    ];
    for algorithm in KeyAlgorithm::ALL {
        for scope in &scopes {
            let authority = authority(*algorithm);
            let mut draft = draft(scope.clone());
            draft.verbs = Some(BTreeSet::from(["beads.get".to_owned()]));
            draft.chain = vec![CapabilityId::new("cap-0").unwrap()];
            let (issued, token) = authority.issue(draft).unwrap();
            let verified = authority.verify(token.expose(), now()).unwrap();
            assert_eq!(verified, issued);
            assert_eq!(verified.scope, *scope);
            assert_eq!(verified.key, KID);
        }
    }
}

#[test]
fn the_callers_of_the_process_have_no_tokens() {
    for scope in [Scope::Operator, Scope::Town] {
        assert_eq!(authority(KeyAlgorithm::EdDsa).issue(draft(scope)).unwrap_err().code(), "scope_not_issuable");
    }
}

#[test]
fn the_claims_that_the_other_cases_change_are_good() {
    let verified = authority(KeyAlgorithm::Hs256).verify(&token(&header(Algorithm::HS256), &claims()), now()).unwrap();
    assert_eq!(verified.scope, agent());
    let text = serde_json::to_string(&header(Algorithm::HS256)).unwrap();
    authority(KeyAlgorithm::Hs256).verify(&token_of_text(&text, &claims().to_string()), now()).unwrap();
}

#[test]
fn a_token_without_a_signature_or_with_another_algorithm_is_refused() {
    let claims = claims().to_string();
    for none in ["none", "nOnE", "None", ""] {
        let header = format!(r#"{{"typ":"gastown-capability+jwt","alg":"{none}","kid":"{KID}"}}"#);
        let unsigned = format!("{}.{}.", BASE64.encode(&header), BASE64.encode(&claims));
        assert_eq!(refused(&unsigned), "token_malformed", "{none}");
        assert_eq!(refused(&token_of_text(&header, &claims)), "token_malformed", "{none}");
    }
    for other in ["RS256", "HS512", "HS384", "ES256", "PS256", "EdDSA"] {
        let header = format!(r#"{{"typ":"gastown-capability+jwt","alg":"{other}","kid":"{KID}"}}"#);
        assert_eq!(refused(&token_of_text(&header, &claims)), "token_malformed", "{other}");
    }
    // The public half of a key, taken for a secret.
    let key = SigningKey::new(KID, KeyAlgorithm::EdDsa, &SECRET, now()).unwrap();
    let public = key.verifies.try_get_as_bytes().unwrap();
    let forged = encode(&header(Algorithm::HS256), &self::claims(), &EncodingKey::from_secret(public)).unwrap();
    let error = authority(KeyAlgorithm::EdDsa).verify(&forged, now()).unwrap_err();
    assert_eq!(error.code(), "token_malformed");
}

#[test]
fn a_token_that_was_changed_anywhere_is_refused() {
    for algorithm in KeyAlgorithm::ALL {
        let authority = authority(*algorithm);
        let (_, good) = authority.issue(draft(agent())).unwrap();
        let good = good.expose();
        authority.verify(good, now()).unwrap();
        for at in 0..good.len() {
            for bit in 0..7 {
                let mut bytes = good.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(authority.verify(&changed, now()).is_err(), "byte {at}, bit {bit} of {algorithm}");
            }
            assert!(authority.verify(&good[..at], now()).is_err(), "cut at {at}");
        }
        let parts: Vec<&str> = good.split('.').collect();
        for part in [
            parts[..2].join("."),
            parts[1..].join("."),
            format!("{good}."),
            format!("{good}.{}", parts[2]),
            format!(".{good}"),
            format!("{good}="),
            format!(" {good}"),
            format!("{good}\n"),
            String::new(),
            "..".to_owned(),
            "a.b.c".to_owned(),
        ] {
            assert!(authority.verify(&part, now()).is_err(), "{part}");
        }
    }
}

#[test]
fn a_token_holds_from_its_first_second_until_its_last_and_no_longer() {
    let authority = authority(KeyAlgorithm::Hs256);
    let (issued, good) = authority.issue(draft(agent())).unwrap();
    let ends = issued.expires_at.as_micros();
    for (micros, code) in [
        (issued.issued_at.as_micros() - 1, Some("token_early")),
        (issued.issued_at.as_micros(), None),
        (ends - 1, None),
        (ends, Some("token_expired")),
        (ends + 1_000_000, Some("token_expired")),
        (i64::MAX, Some("token_expired")),
    ] {
        let found = authority.verify(good.expose(), Timestamp::from_micros(micros));
        assert_eq!(found.err().map(|error| error.code().to_owned()).as_deref(), code, "{micros}");
    }
    assert_eq!(authority.check_again(&issued, Timestamp::from_micros(ends)).unwrap_err().code(), "token_expired");
}

/// Changes of one claim, and what each is refused for.
#[test]
fn every_claim_has_to_be_there_once_and_right() {
    let now = seconds(now());
    let cases: &[(&str, Json, &str)] = &[
        ("exp", json!(now), "token_malformed"),
        ("exp", json!((now + 60).to_string()), "token_malformed"),
        ("exp", json!(1e300), "token_malformed"),
        ("exp", json!(1.5e9), "token_malformed"),
        ("exp", json!(-1), "token_malformed"),
        ("exp", json!(u64::MAX), "token_malformed"),
        ("exp", json!(null), "token_malformed"),
        ("nbf", json!(now + 1), "token_early"),
        ("nbf", json!((now + 1).to_string()), "token_malformed"),
        ("nbf", json!(now - 100), "token_malformed"),
        ("iat", json!(now + 1), "token_malformed"),
        ("iat", json!("now"), "token_malformed"),
        ("aud", json!("gastown/other"), "token_of_another"),
        ("aud", json!(["gastown/harbour"]), "token_malformed"),
        ("aud", json!(["gastown/harbour", "gastown/other"]), "token_malformed"),
        ("iss", json!("somebody"), "token_of_another"),
        ("iss", json!(["gastown"]), "token_malformed"),
        ("sub", json!("mayor/gt-a1"), "token_malformed"),
        ("sub", json!("operator"), "token_malformed"),
        ("town", json!("other"), "token_of_another"),
        ("town", json!("../other"), "token_malformed"),
        ("role", json!("mayor"), "token_malformed"),
        ("role", json!("king"), "token_malformed"),
        ("agent", json!("gt-a2"), "token_malformed"),
        ("rig", json!("Docks"), "token_malformed"),
        ("epoch", json!("3"), "token_malformed"),
        ("epoch", json!(3.5), "token_malformed"),
        ("jti", json!(""), "token_malformed"),
        ("jti", json!("../1"), "token_malformed"),
        ("user", json!("tess"), "token_malformed"),
        ("verbs", json!("beads.get"), "token_malformed"),
        ("chain", json!(vec!["cap-0"; 9]), "token_malformed"),
        ("admin", json!(true), "token_malformed"),
    ];
    for (claim, value, code) in cases {
        let mut claims = claims();
        claims[*claim] = value.clone();
        assert_eq!(refused(&token(&header(Algorithm::HS256), &claims)), *code, "{claim} = {value}");
    }
    let mut late = claims();
    for (claim, at) in [("iat", now - 61), ("nbf", now - 61), ("exp", now - 1)] {
        late[claim] = json!(at);
    }
    assert_eq!(refused(&token(&header(Algorithm::HS256), &late)), "token_expired");
    for claim in claims().as_object().unwrap().keys() {
        let mut lacking = claims();
        lacking.as_object_mut().unwrap().remove(claim);
        assert_eq!(refused(&token(&header(Algorithm::HS256), &lacking)), "token_malformed", "without {claim}");
    }
    // Twice, the last good and the first not, and the other way round.
    let text = serde_json::to_string(&header(Algorithm::HS256)).unwrap();
    for twice in [r#""exp":1,"#, r#""epoch":9,"#, r#""role":"mayor","#] {
        let first = claims().to_string().replacen('{', &format!("{{{twice}"), 1);
        let last = claims().to_string().replacen('}', &format!(",{}}}", twice.trim_end_matches(',')), 1);
        for claims in [first, last] {
            assert_eq!(refused(&token_of_text(&text, &claims)), "token_malformed", "{claims}");
        }
    }
}

#[test]
fn a_header_says_the_type_the_algorithm_and_the_key_and_nothing_else() {
    let claims = claims().to_string();
    let good = json!({ "typ": "gastown-capability+jwt", "alg": "HS256", "kid": KID });
    assert!(authority(KeyAlgorithm::Hs256).verify(&token_of_text(&good.to_string(), &claims), now()).is_ok());
    let jwk = json!({ "kty": "oct", "k": BASE64.encode(SECRET) });
    for (field, value, code) in [
        ("typ", json!("JWT"), "token_malformed"),
        ("typ", json!(null), "token_malformed"),
        ("kid", json!("../../dev/null"), "token_key_unknown"),
        ("kid", json!("' OR 1=1"), "token_key_unknown"),
        ("kid", json!(null), "token_key_unknown"),
        ("kid", json!("k2"), "token_key_unknown"),
        ("jku", json!("https://example.org/keys"), "token_malformed"),
        ("x5u", json!("https://example.org/cert"), "token_malformed"),
        ("jwk", jwk, "token_malformed"),
        ("crit", json!(["exp"]), "token_malformed"),
        ("cty", json!("JWT"), "token_malformed"),
        ("zip", json!("DEF"), "token_malformed"),
        ("b64", json!(false), "token_malformed"),
        ("x", json!(1), "token_malformed"),
    ] {
        let mut header = good.clone();
        header[field] = value.clone();
        assert_eq!(refused(&token_of_text(&header.to_string(), &claims)), code, "{field} = {value}");
    }
    let twice = format!(r#"{{"typ":"gastown-capability+jwt","alg":"HS256","kid":"k9","kid":"{KID}"}}"#);
    assert_eq!(refused(&token_of_text(&twice, &claims)), "token_malformed");
}

#[test]
fn a_token_that_is_too_long_is_not_looked_at() {
    assert_eq!(refused(&"a".repeat(1 << 20)), "token_malformed");
    assert_eq!(refused(&format!("{}.b.c", "a".repeat(TOKEN_BYTES_MAX))), "token_malformed");
    let mut long = draft(agent());
    long.verbs = Some((0..TOKEN_BYTES_MAX / 8).map(|nth| format!("beads.v{nth}")).collect());
    assert_eq!(authority(KeyAlgorithm::Hs256).issue(long).unwrap_err().code(), "token_too_long");
}

#[test]
fn a_token_of_another_key_or_town_is_refused() {
    let (_, theirs) =
        authority_of(KeyRing::new([SigningKey::new(KID, KeyAlgorithm::Hs256, &[8; 32], now()).unwrap()]).unwrap())
            .issue(draft(agent()))
            .unwrap();
    assert_eq!(refused(theirs.expose()), "token_unsigned");
    let key = SigningKey::new(KID, KeyAlgorithm::Hs256, &SECRET, now()).unwrap();
    let other = Authority::new(TownId::new("other").unwrap(), Keys::Given(Arc::new(KeyRing::new([key]).unwrap())));
    let (_, theirs) = other.issue(draft(agent())).unwrap();
    assert_eq!(refused(theirs.expose()), "token_of_another");
}

#[test]
fn weak_and_odd_keys_are_refused() {
    for (kid, algorithm, bytes) in [
        (KID, KeyAlgorithm::Hs256, 31),
        (KID, KeyAlgorithm::Hs256, 0),
        (KID, KeyAlgorithm::Hs256, 2000),
        (KID, KeyAlgorithm::EdDsa, 31),
        (KID, KeyAlgorithm::EdDsa, 33),
        ("", KeyAlgorithm::EdDsa, 32),
        ("../k", KeyAlgorithm::EdDsa, 32),
        ("k k", KeyAlgorithm::EdDsa, 32),
    ] {
        let error = SigningKey::new(kid, algorithm, &vec![1; bytes], now()).unwrap_err();
        assert_eq!(error.code(), "key_malformed", "{kid:?} {algorithm} {bytes}");
        assert!(error.fact("rule").is_some());
    }
    let key = || SigningKey::new(KID, KeyAlgorithm::Hs256, &SECRET, now()).unwrap();
    assert_eq!(KeyRing::new([]).unwrap_err().code(), "keys_malformed");
    assert_eq!(KeyRing::new([key(), key()]).unwrap_err().code(), "keys_malformed");
    for text in ["", "{}", "[]", r#"{"version":2,"keys":[]}"#, r#"{"version":1,"keys":[{"kid":"secret"}]}"#] {
        let error = KeyRing::from_text(text).unwrap_err();
        assert_eq!(error.code(), "keys_malformed", "{text}");
        assert!(!error.chain().contains("secret"), "nothing of the text is shown: {}", error.chain());
    }
}

#[test]
fn no_key_is_printed() {
    let key = SigningKey::new(KID, KeyAlgorithm::Hs256, &SECRET, now()).unwrap();
    let ring = KeyRing::new([key.clone()]).unwrap();
    let authority = authority_of(ring.clone());
    let (_, token) = authority.issue(draft(agent())).unwrap();
    for shown in [format!("{key:?}"), format!("{ring:?}"), format!("{authority:?}"), format!("{token:?}")] {
        assert!(!shown.contains("0707"), "{shown}");
        assert!(!shown.contains(token.expose()), "{shown}");
    }
}

#[test]
fn keys_of_a_folder_are_made_once_kept_private_and_rotated_with_an_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let at = |seconds| now().after(Duration::from_secs(seconds));
    let open = || Authority::new(TownId::new("harbour").unwrap(), Keys::in_folder(folder.path()));
    let (here, there) = (open(), open());
    let (_, old) = here.issue(draft(agent())).unwrap();
    there.verify(old.expose(), now()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = folder.path().join("keys.json").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // With an overlap: the old key verifies for ten seconds more, in every process.
    let keys = there.rotate(KeyAlgorithm::Hs256, Duration::from_secs(10), now()).unwrap();
    assert_eq!(keys.iter().map(|key| key.1).collect::<Vec<_>>(), [KeyAlgorithm::Hs256, KeyAlgorithm::EdDsa]);
    let (capability, new) = here.issue(draft(agent())).unwrap();
    assert_eq!(capability.key, keys[0].0, "the other process signs with the new key at once");
    let held = here.verify(old.expose(), at(9)).unwrap();
    assert_eq!(here.verify(old.expose(), at(10)).unwrap_err().code(), "token_key_unknown");
    assert_eq!(here.check_again(&held, at(10)).unwrap_err().code(), "token_key_unknown");
    here.verify(new.expose(), at(10)).unwrap();
    // Without one: at once.
    there.rotate(KeyAlgorithm::EdDsa, Duration::ZERO, at(20)).unwrap();
    assert_eq!(here.verify(new.expose(), at(20)).unwrap_err().code(), "token_key_unknown");
}

#[test]
fn any_number_of_processes_make_one_first_key() {
    let folder = tempfile::tempdir().unwrap();
    let kids: Vec<String> = std::thread::scope(|scope| {
        let made: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let keys = Keys::in_folder(folder.path());
                    keys.ring(now()).unwrap().signer().kid().to_owned()
                })
            })
            .collect();
        made.into_iter().map(|made| made.join().unwrap()).collect()
    });
    assert_eq!(kids.iter().collect::<BTreeSet<_>>().len(), 1, "{kids:?}");
}

#[test]
#[cfg(unix)]
fn keys_that_others_could_read_or_that_are_damaged_are_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let authority = Authority::new(TownId::new("harbour").unwrap(), Keys::in_folder(folder.path()));
    let (_, good) = authority.issue(draft(agent())).unwrap();
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    // Looked at in every call of a town that was opened before, too, once the file is another one.
    let fresh = Authority::new(TownId::new("harbour").unwrap(), Keys::in_folder(folder.path()));
    assert_eq!(fresh.verify(good.expose(), now()).unwrap_err().code(), "keys_exposed");
    mode(0o600);
    fresh.verify(good.expose(), now()).unwrap();
    std::fs::write(&path, "{\"keys\":").unwrap();
    let error = fresh.verify(good.expose(), now()).unwrap_err();
    assert_eq!(error.code(), "keys_unreadable");
    assert_eq!(error.fact("path"), Some(path.to_str().unwrap()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"keys\":", "what is damaged is left for its owner");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert_eq!(fresh.verify(good.expose(), now()).unwrap_err().code(), "keys_exposed");
}

#[test]
fn keys_that_the_host_keeps_are_not_rotated_here() {
    let error = authority(KeyAlgorithm::EdDsa).rotate(KeyAlgorithm::EdDsa, Duration::ZERO, now()).unwrap_err();
    assert_eq!(error.code(), "keys_of_host");
}

proptest! {
    #[test]
    fn rubbish_is_refused_without_a_panic(rubbish in ".{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,60}", 0..5)) {
        let authority = authority(KeyAlgorithm::Hs256);
        prop_assert!(authority.verify(&rubbish, now()).is_err());
        prop_assert!(authority.verify(&parts.join("."), now()).is_err());
    }

    #[test]
    fn a_signed_token_with_other_claims_never_says_what_it_does_not(claims in ".{0,120}") {
        let header = serde_json::to_string(&header(Algorithm::HS256)).unwrap();
        prop_assert!(authority(KeyAlgorithm::Hs256).verify(&token_of_text(&header, &claims), now()).is_err());
    }
}
