//! Every operation by every kind of caller: who may call it is what the table says.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{Handle, Town, operations};
use crate::model::{BeadId, Capability, CapabilityId, RigName, Role, Scope, SessionId, Timestamp, UserId};
use crate::store::MemoryBackend;

async fn town(dir: &std::path::Path) -> Town {
    Town::builder(dir.join("town")).backend(Arc::new(MemoryBackend::new())).open().await.unwrap()
}

fn agent(role: Role) -> Scope {
    Scope::Agent {
        agent: BeadId::new("gt-a").unwrap(),
        role,
        rig: RigName::new("docks").unwrap(),
        bead: BeadId::new("gt-1").unwrap(),
        session: SessionId::new("s-gt-1-1").unwrap(),
        epoch: 1,
    }
}

async fn code(handle: &Handle, name: &str) -> String {
    handle.call(name, json!({ "no_such_field": 1 })).await.unwrap_err().code().to_owned()
}

#[tokio::test]
async fn an_agent_calls_what_the_table_gives_its_role_and_is_told_nothing_of_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let town = town(dir.path()).await;
    for role in Role::ALL {
        let handle = Handle::new(town.clone(), agent(*role));
        for operation in operations() {
            let allowed = operation.roles.contains(role);
            // What it may not call is refused before its input is looked at.
            let wanted = if allowed { "input_malformed" } else { "role_not_allowed" };
            assert_eq!(code(&handle, operation.name).await, wanted, "{role} calls {}", operation.name);
        }
    }
    let nobody: Vec<&str> = operations().iter().filter(|o| o.roles.is_empty()).map(|o| o.name).collect();
    for name in
        ["capabilities.issue", "capabilities.rotate_keys", "upkeep.backup", "upkeep.discard", "beads.import_from"]
    {
        assert!(nobody.contains(&name), "an agent may call {name}");
    }
    town.close().await.unwrap();
}

#[tokio::test]
async fn an_agent_whose_session_is_over_gets_no_answer_to_any_operation() {
    let dir = tempfile::tempdir().unwrap();
    let town = town(dir.path()).await;
    let bead = town.operator().beads().create(crate::NewBead::titled("mine")).await.unwrap();
    for role in Role::ALL {
        let handle = Handle::new(town.clone(), agent(*role));
        for operation in operations().iter().filter(|operation| operation.roles.contains(role)) {
            // Inputs that would do, for the operations that take little.
            for input in
                [json!({}), json!({ "id": bead.id }), json!({ "bead": bead.id, "text": "x" }), json!({ "title": "x" })]
            {
                let error = match handle.call(operation.name, input.clone()).await {
                    Err(error) => error,
                    Ok(answer) => panic!("{role} got an answer of {} to {input}: {answer}", operation.name),
                };
                let is_refused = matches!(
                    error.code(),
                    "epoch_stale" | "input_malformed" | "token_malformed" | "operation_unknown" | "field_missing"
                );
                assert!(is_refused, "{role} got {error:?} of {}", operation.name);
            }
        }
    }
    assert_eq!(town.operator().beads().list(crate::BeadFilter::default()).await.unwrap().beads.len(), 1);
    town.close().await.unwrap();
}

#[cfg(feature = "auth")]
#[tokio::test]
async fn a_capability_with_verbs_is_good_for_each_of_them_and_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let town = town(dir.path()).await;
    for (nth, operation) in operations().iter().enumerate() {
        let verb = operation.name.to_owned();
        let capability = Capability {
            id: CapabilityId::new(format!("cap-{nth}")).unwrap(),
            chain: Vec::new(),
            key: "none".to_owned(),
            scope: Scope::User { user: UserId::new("tess").unwrap(), rig: None },
            verbs: Some(BTreeSet::from([verb.clone()])),
            issued_at: Timestamp::from_micros(0),
            expires_at: Timestamp::from_micros(i64::MAX),
        };
        let handle = Handle::with_capability(town.clone(), capability);
        // Its key verifies nothing here: it is refused for that before all else.
        assert_eq!(code(&handle, &verb).await, "token_key_unknown");
        let issue = crate::IssueCapability {
            user: Some(UserId::new("tess").unwrap()),
            verbs: Some(BTreeSet::from([verb.clone()])),
            ..crate::IssueCapability::default()
        };
        let issued = town.operator().capabilities().issue(issue).await.unwrap();
        let handle = town.with_token(&issued.token).await.unwrap();
        for other in operations() {
            let wanted = if other.name == verb { "input_malformed" } else { "verb_not_granted" };
            assert_eq!(code(&handle, other.name).await, wanted, "a token for {verb} calls {}", other.name);
        }
    }
    town.close().await.unwrap();
}
