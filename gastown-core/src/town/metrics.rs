//! What is counted and measured of a town, at one look.

use serde::{Deserialize, Serialize};

use super::handle::Handle;
use super::operation::Operation;
use super::upkeep::of_whole_town;
use crate::meter::{MetricValue, table};
use crate::model::{Result, Timestamp};
use crate::store::Reader;
use crate::work::view::View;
use crate::work::{All, observed};

/// What is counted and measured of a town since it was opened in this process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metrics {
    /// When.
    pub at: Timestamp,
    /// Each metric with each set of its labels that there was, by name and labels.
    pub metrics: Vec<MetricValue>,
}

/// Reads them; how the town stands is looked at anew.
pub(super) async fn metrics(handle: &Handle, _: &'static Operation, _: All) -> Result<Metrics> {
    of_whole_town(handle)?;
    let (store, scope, at) = (&handle.town().shared.store, handle.shared_scope(), handle.town().ctx().now);
    let look = move |reader: &dyn Reader| observed::standing(View::new(reader, &scope, at));
    let standing = store.read(look).await?;
    let meters = store.meters();
    meters.note_all(standing);
    #[allow(clippy::cast_precision_loss, reason = "the queue has a bound")]
    meters.set(&table::WRITE_QUEUE, &[], store.queue_depth() as f64);
    let leads = handle.town().leads().await;
    meters.set(&table::LEADER, &[], f64::from(u8::from(leads)));
    Ok(Metrics { at, metrics: meters.values() })
}
