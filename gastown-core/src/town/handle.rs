//! A handle: a town through one scope.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::measured::Measured;
use super::operation::Operation;
use super::table::{
    Agents, Beads, Capabilities, Convoys, Effects, Events, Reservations, Reviews, Rigs, Sessions, Triage, Upkeep,
};
use super::town::Town;
use crate::failpoint;
use crate::model::{Capability, Error, Result, Scope, refusal};
use crate::store::{Reader, Txn};
use crate::work::command;
use crate::work::txn::ScopedTxn;
use crate::work::view::View;

/// A town through one scope; its methods take no scope argument.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    town: Town,
    scope: Arc<Scope>,
    key: Option<String>,
    /// What its caller showed, where it showed a token.
    capability: Option<Arc<Capability>>,
    /// Whether it serves an operation that is measured as a whole.
    is_inner: bool,
}

impl Handle {
    pub(super) fn new(town: Town, scope: Scope) -> Self {
        Self { town, scope: Arc::new(scope), key: None, capability: None, is_inner: false }
    }

    /// A handle for whoever showed a token.
    #[cfg(feature = "auth")]
    pub(super) fn with_capability(town: Town, capability: Capability) -> Self {
        let scope = capability.scope.clone();
        Self { capability: Some(Arc::new(capability)), ..Self::new(town, scope) }
    }

    /// The same handle whose next changing commands carry an idempotency key.
    ///
    /// A command that is repeated with its key within seven days gives the first answer and changes nothing; the same
    /// key with another request is the conflict `idempotency_key_reused`. Use a key for one command.
    #[must_use]
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self.clone() }
    }

    /// The same handle without a key: for what an operation does in several commands.
    pub(super) fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// The town.
    pub fn town(&self) -> &Town {
        &self.town
    }

    /// The scope it carries.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The capability that it was made of; none where it was made in this process without one.
    pub fn capability(&self) -> Option<&Capability> {
        self.capability.as_deref()
    }

    #[cfg(feature = "auth")]
    pub(super) fn capability_shared(&self) -> Option<Arc<Capability>> {
        self.capability.clone()
    }

    /// Beads: create, link, list, claim, close.
    pub fn beads(&self) -> Beads {
        Beads(self.clone())
    }

    /// Convoys: sling, watch, land.
    pub fn convoys(&self) -> Convoys {
        Convoys(self.clone())
    }

    /// Agents: register, list.
    pub fn agents(&self) -> Agents {
        Agents(self.clone())
    }

    /// Rigs: add, configure, list.
    pub fn rigs(&self) -> Rigs {
        Rigs(self.clone())
    }

    /// Sessions: list, stop.
    pub fn sessions(&self) -> Sessions {
        Sessions(self.clone())
    }

    /// Merge requests: list.
    pub fn reviews(&self) -> Reviews {
        Reviews(self.clone())
    }

    /// What somebody has to judge: list, resolve.
    pub fn triage(&self) -> Triage {
        Triage(self.clone())
    }

    /// Reservations of paths: add, remove, overlaps.
    pub fn reservations(&self) -> Reservations {
        Reservations(self.clone())
    }

    /// What is to be done outside the database: list, retry.
    pub fn effects(&self) -> Effects {
        Effects(self.clone())
    }

    /// Capabilities: issue, narrow, revoke.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities(self.clone())
    }

    /// The whole town: health, backup, check, archive.
    pub fn upkeep(&self) -> Upkeep {
        Upkeep(self.clone())
    }

    /// The journal: read, watch.
    pub fn events(&self) -> Events {
        Events(self.clone())
    }

    /// The same handle for what an operation does by others, which are not measured by themselves.
    pub(super) fn inner(&self) -> Self {
        Self { is_inner: true, ..self.clone() }
    }

    pub(super) const fn is_inner(&self) -> bool {
        self.is_inner
    }

    /// Its scope, for work on other threads.
    pub(super) fn shared_scope(&self) -> Arc<Scope> {
        Arc::clone(&self.scope)
    }

    pub(super) async fn change<I, O>(
        &self,
        operation: &'static Operation,
        input: I,
        work: fn(&mut ScopedTxn<'_>, &I) -> Result<O>,
    ) -> Result<O>
    where
        I: Serialize + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let measured = Measured::begin(self, operation)?;
        let mut ctx = self.town.ctx();
        let notes = ctx.notes.clone();
        ctx.idempotency_key.clone_from(&self.key);
        ctx.capability.clone_from(&self.capability);
        let scope = Arc::clone(&self.scope);
        let is_sling = matches!(operation.name, "beads.sling" | "convoys.sling");
        let answer = self
            .town
            .shared
            .store
            .write(move |raw: &mut dyn Txn| {
                let answer = command::change(raw, &scope, &ctx, operation.name, &input, work);
                if is_sling {
                    failpoint::pass("sling.before_commit");
                }
                answer
            })
            .instrument(measured.span())
            .await;
        if answer.is_ok() {
            self.town.shared.store.meters().take(&notes);
        }
        let answer = measured.end(answer);
        if is_sling {
            failpoint::pass("sling.after_commit");
        }
        answer
    }

    pub(super) async fn ask<I, O>(
        &self,
        operation: &'static Operation,
        input: I,
        question: fn(View<'_>, &I) -> Result<O>,
    ) -> Result<O>
    where
        I: Send + 'static,
        O: Send + 'static,
    {
        let measured = Measured::begin(self, operation)?;
        let mut ctx = self.town.ctx();
        ctx.capability.clone_from(&self.capability);
        let scope = Arc::clone(&self.scope);
        let asked = self
            .town
            .shared
            .store
            .read(move |reader: &dyn Reader| command::ask(reader, &scope, &ctx, &input, question))
            .instrument(measured.span())
            .await;
        measured.end(asked)
    }

    /// Does what looks at the outside world as well.
    pub(super) async fn go<O>(
        &self,
        operation: &'static Operation,
        work: impl Future<Output = Result<O>>,
    ) -> Result<O> {
        let measured = Measured::begin(self, operation)?;
        let done = match self.admit().await {
            Ok(()) => work.instrument(measured.span()).await,
            Err(error) => Err(error),
        };
        measured.end(done)
    }

    /// Refuses a caller whose session or capability is over, before anything is done outside a transaction for it.
    pub(super) async fn admit(&self) -> Result<()> {
        if self.capability.is_none() && !matches!(*self.scope, Scope::Agent { .. }) {
            return Ok(());
        }
        let mut ctx = self.town.ctx();
        ctx.capability.clone_from(&self.capability);
        let scope = Arc::clone(&self.scope);
        let admitted = move |reader: &dyn Reader| command::ask(reader, &scope, &ctx, &(), |_, ()| Ok(()));
        self.town.shared.store.read(admitted).await
    }

    /// Refuses an operation that the caller may not call at all.
    pub(super) fn check(&self, operation: &Operation) -> Result<()> {
        operation.check(&self.scope)?;
        let Some(capability) = &self.capability else { return Ok(()) };
        #[cfg(feature = "auth")]
        self.town.shared.authority.check_again(capability, self.town.ctx().now)?;
        match &capability.verbs {
            // What an operation does by others is its own affair.
            Some(verbs) if !self.is_inner && !verbs.contains(operation.name) => {
                let said = format!("the token is not good for {}", operation.name);
                Err(Error::forbidden("verb_not_granted", said).with("verb", operation.name))
            }
            _ => Ok(()),
        }
    }

    /// Runs an operation by its name, from JSON to JSON: what bindings and protocols call.
    ///
    /// # Errors
    /// `operation_unknown`, `input_malformed` with what is wrong where, `name_malformed`, `id_malformed` and
    /// `word_unknown` with the rule, and the operation's own.
    pub async fn call(&self, name: &str, input: serde_json::Value) -> Result<serde_json::Value> {
        super::table::call(self, name, input).await
    }
}

pub(super) fn from_json<I: DeserializeOwned>(operation: &Operation, input: serde_json::Value) -> Result<I> {
    let (read, refused) = refusal::noting(|| I::deserialize(&input));
    read.map_err(|source: serde_json::Error| {
        let said = source.to_string();
        // A name or an id that was refused has a code and facts of its own.
        let error = refused.filter(|refused| refused.to_string() == said).unwrap_or_else(|| {
            let field = culprit::<I>(input, &said);
            let place = if field.is_empty() { String::new() } else { format!("{field}: ") };
            let message = format!("{} wants {}: {place}{}", operation.name, operation.input, in_plain_words(&said));
            let error = Error::invalid("input_malformed", message).because(source);
            if field.is_empty() { error } else { error.with("field", field) }
        });
        error.with("operation", operation.name).with("input", operation.input)
    })
}

/// What a reader of JSON says of a mistake, with the words of JSON for the types of Rust.
fn in_plain_words(said: &str) -> Cow<'_, str> {
    let Some((found, wanted)) = said.rsplit_once(", expected ") else { return Cow::Borrowed(said) };
    let (kind, rest) = wanted.split_once(' ').unwrap_or((wanted, ""));
    let plain = match kind {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "struct" | "internally" | "adjacently" => "an object",
        _ if wanted == "a sequence" => "a list",
        _ if wanted == "a map" => "an object",
        _ if wanted.starts_with("tuple") || wanted.starts_with("an array of length") => "a list of another length",
        _ if wanted == "a boolean" => "true or false",
        _ if wanted == "string or map" || rest == "identifier" => "a string",
        _ => wanted,
    };
    let found = match found {
        "invalid type: sequence" => "invalid type: a list",
        "invalid type: map" => "invalid type: an object",
        found => found,
    };
    Cow::Owned(format!("{found}, expected {plain}"))
}

/// How large an input may be, in values and bytes of texts, for the place of a mistake to be looked for in it: each look
/// reads it once more.
const LOOKED_THROUGH_MAX: usize = 1 << 18;

/// What is left of `room` beside a value with all its parts; none where it does not fit.
fn room_beside(value: &serde_json::Value, room: usize) -> Option<usize> {
    let room = room.checked_sub(1)?;
    match value {
        serde_json::Value::String(text) => room.checked_sub(text.len()),
        serde_json::Value::Array(list) => list.iter().try_fold(room, |room, part| room_beside(part, room)),
        serde_json::Value::Object(map) => {
            map.iter().try_fold(room, |room, (key, part)| room_beside(part, room.checked_sub(key.len())?))
        }
        _ => Some(room),
    }
}

/// Where in an input the value is that was refused with these words, such as `beads[3].priority`; empty where it is none of
/// its parts, or the input is too large to look. JSON does not say, so parts are left out until the words are others.
fn culprit<I: DeserializeOwned>(mut input: serde_json::Value, said: &str) -> String {
    if room_beside(&input, LOOKED_THROUGH_MAX).is_none() {
        return String::new();
    }
    let is_refused = |input: &serde_json::Value| I::deserialize(input).is_err_and(|source| source.to_string() == said);
    let (mut pointer, mut shown) = (String::new(), String::new());
    let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let join = |shown: &str, key: &str| if shown.is_empty() { key.to_owned() } else { format!("{shown}.{key}") };
    while let Some(value) = input.pointer(&pointer) {
        // A part that lacks a key has another mistake with it. Without its other keys it has another one too.
        if let Some(key) = missing
            && value.as_object().is_some_and(|map| !map.contains_key(key))
        {
            let mut with = input.clone();
            if let Some(map) = with.pointer_mut(&pointer).and_then(serde_json::Value::as_object_mut) {
                map.insert(key.to_owned(), serde_json::Value::Null);
            }
            let unknown = format!("unknown field `{key}`");
            if !is_refused(&with) && !I::deserialize(&with).is_err_and(|now| now.to_string().starts_with(&unknown)) {
                return join(&shown, key);
            }
        }
        let step = match value {
            serde_json::Value::Object(map) => {
                let keys: Vec<String> = map.keys().cloned().collect();
                keys.into_iter().find(|key| {
                    let mut without = input.clone();
                    let map = without.pointer_mut(&pointer).and_then(serde_json::Value::as_object_mut);
                    map.is_some_and(|map| map.remove(key).is_some()) && !is_refused(&without)
                })
            }
            serde_json::Value::Array(list) => {
                // The first one that is no good: with those up to it the words are the same.
                let lengths: Vec<usize> = (0..=list.len()).collect();
                let enough = lengths.partition_point(|length| {
                    let mut part = input.clone();
                    if let Some(list) = part.pointer_mut(&pointer).and_then(serde_json::Value::as_array_mut) {
                        list.truncate(*length);
                    }
                    !is_refused(&part)
                });
                (enough > 0 && enough <= list.len()).then(|| (enough - 1).to_string())
            }
            _ => None,
        };
        let Some(step) = step else { break };
        let is_place = value.is_array();
        if let (Some(list), Ok(nth)) =
            (input.pointer_mut(&pointer).and_then(serde_json::Value::as_array_mut), step.parse::<usize>())
        {
            // What comes after it matters no more.
            list.truncate(nth + 1);
        }
        pointer = format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"));
        shown = if is_place { format!("{shown}[{step}]") } else { join(&shown, &step) };
    }
    shown
}

pub(super) fn to_json<O: Serialize>(output: O) -> Result<serde_json::Value> {
    serde_json::to_value(output)
        .map_err(|source| Error::internal("answer_unwritable", "an answer is not JSON").because(source))
}
