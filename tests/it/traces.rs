//! What `tracing` is told: the events of an effect and a session are in the spans of their bead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::support::{Yard, event, sh};

type Fields = BTreeMap<String, String>;

/// An event: its fields, and the spans around it, the outermost first.
#[derive(Clone, Debug)]
struct Told {
    level: tracing::Level,
    fields: Fields,
    spans: Vec<(&'static str, Fields)>,
}

impl Told {
    fn says(&self, message: &str) -> bool {
        self.fields.get("message").is_some_and(|said| said.contains(message))
    }

    fn in_span(&self, name: &str) -> Option<&Fields> {
        self.spans.iter().find(|(span, _)| *span == name).map(|(_, fields)| fields)
    }
}

#[derive(Default)]
struct Collect(Fields);

impl Visit for Collect {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Told>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ear {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut collect = Collect::default();
        attributes.record(&mut collect);
        context.span(id).unwrap().extensions_mut().insert(collect.0);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut collect = Collect::default();
        event.record(&mut collect);
        let spans = context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root);
        let spans = spans.map(|span| (span.name(), span.extensions().get::<Fields>().cloned().unwrap_or_default()));
        let told = Told { level: *event.metadata().level(), fields: collect.0, spans: spans.collect() };
        self.0.lock().unwrap().push(told);
    }
}

#[test]
fn an_event_of_an_effect_has_its_bead_and_session_around_it() {
    let ear = Ear::default();
    let subscriber = tracing_subscriber::registry().with(ear.clone());
    // The tasks of the engine run on this thread, so no other test hears or is heard.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let yard = Yard::new("true", []).await;
            let bead = yard.sling("lay the keel").await;
            event(&yard.town, &mut 0, |event| event.kind == "session.ended").await;
            yard.at_rest().await;
            std::fs::remove_dir_all(&yard.origin).unwrap();
            yard.configure("agent.command", sh("echo > it; git add -A; git commit -q -m it")).await;
            let other = yard.sling("raise the mast").await;
            let mut since = 0;
            // The first bead is tried again as well.
            let is_other = |event: &gastown_core::model::Event| event.subject.contains(other.id.as_str());
            event(&yard.town, &mut since, |event| {
                matches!(event.kind.as_str(), "effect.retry" | "effect.refused") && is_other(event)
            })
            .await;
            let refused =
                yard.town.operator().beads().get("hq-none".parse::<gastown_core::model::BeadId>().unwrap()).await;
            assert_eq!(refused.unwrap_err().code(), "bead_missing");
            let told = ear.0.lock().unwrap().clone();

            let begun = told.iter().find(|told| told.says("effect") && told.in_span("effect").is_some());
            let begun = begun.expect("the start began");
            let names: Vec<_> = begun.spans.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["bead", "session", "effect"]);
            let around = begun.in_span("bead").unwrap();
            assert_eq!((around["town"].as_str(), around["bead"].as_str()), (yard.town.id().as_str(), bead.id.as_str()));
            let session = begun.in_span("session").unwrap();
            let first = format!("s-{}-1", bead.id);
            assert_eq!((session["session"].as_str(), session["epoch"].as_str()), (first.as_str(), "1"));
            let effect = begun.in_span("effect").unwrap();
            assert_eq!((effect["kind"].as_str(), effect["attempt"].as_str()), ("start", "1"));
            assert_eq!(effect["effect"], format!("start#{first}#1"));

            let of_other = |told: &&Told| told.in_span("bead").is_some_and(|bead| bead["bead"] == other.id.as_str());
            let failed = told.iter().filter(of_other).find(|told| told.says("effect not done"));
            let failed = failed.expect("the remote is gone");
            assert_eq!(failed.level, tracing::Level::WARN);
            assert!(failed.in_span("effect").is_some());

            let waited = told.iter().find(|told| told.says("a session is waited for")).expect("a session ran");
            assert_eq!(waited.in_span("bead").unwrap()["bead"], bead.id.as_str());
            assert!(waited.in_span("session").unwrap()["session"].starts_with(&format!("s-{}-", bead.id)));

            let missing = told.iter().find(|told| told.says("a command was refused")).expect("a bead was missing");
            assert_eq!(missing.in_span("command").unwrap()["operation"], "beads.get");
            assert_eq!(missing.fields["code"], "bead_missing");
            yard.town.close().await.unwrap();
        });
    });
}
